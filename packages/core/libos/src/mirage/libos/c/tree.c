#include "tree.h"

#include "entry.h"
#include "memory.h"

static u8 *mapped; /* one octet for each entry: this shared library has been mapped */

void tree_start(void) { mapped = (u8 *)pages_take(pages_of(image.entry_count + 1)); }

const struct entry *tree_entry(u64 i) {
  return i < image.entry_count ? (const struct entry *)image.entries + i : 0;
}

const char *tree_path(const struct entry *e) { return (const char *)image.strings + e->path; }

static u64 index_of(const struct entry *e) { return e - (const struct entry *)image.entries; }

static bool directory(const struct entry *e) { return (e->mode & S_IFMT) == S_IFDIR; }

u64 tree_after(const char *path) {
  u64 low = 0, high = image.entry_count, length = strlen(path);
  while (low < high) {
    u64 middle = (low + high) / 2;
    const struct entry *e = tree_entry(middle);
    int order = memcmp(path, tree_path(e), minimum(length, e->path_length));
    if (!order) order = length < e->path_length ? -1 : length > e->path_length;
    if (order <= 0)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

const struct entry *tree_lookup(const char *path) {
  const struct entry *e = tree_entry(tree_after(path));
  u64 length = strlen(path);
  return e && e->path_length == length && !memcmp(tree_path(e), path, length) ? e : 0;
}

void tree_stat(const struct entry *e, struct stat *stat) {
  memset(stat, 0, sizeof *stat);
  stat->device = TREE_DEVICE;
  stat->inode = index_of(e) + 1;
  stat->links = directory(e) ? 2 : 1;
  stat->mode = e->mode;
  stat->size = e->size;
  stat->block_size = PAGE;
  stat->blocks = (e->size + 511) / 512;
  stat->access = stat->modify = stat->change = e->mtime / NANOSECONDS;
  stat->access_ns = stat->modify_ns = stat->change_ns = e->mtime % NANOSECONDS;
}

/* ---- Open files ------------------------------------------------------------------------------------------------------ */

static i64 image_read(struct file *file, u8 *to, u64 n, u64 at) {
  const struct entry *e = file->entry;
  if (directory(e)) return -EISDIR;
  if (at >= e->size) return 0;
  n = minimum(n, e->size - at);
  memcpy(to, (const u8 *)e->data + at, n);
  return n;
}

static void image_stat(struct file *file, struct stat *stat) { tree_stat(file->entry, stat); }

static i64 image_list(struct file *file, u8 *to, u64 n) {
  const struct entry *parent = file->entry;
  if (!directory(parent)) return -ENOTDIR;
  u64 filled = 0, position = 0;
  for (u32 i = parent->child; i != NO_ENTRY; i = tree_entry(i)->next) {
    if (position++ < file->position) continue;
    const struct entry *e = tree_entry(i);
    const char *path = tree_path(e), *name = path + e->path_length;
    while (name > path && name[-1] != '/') name--;
    u64 size = directory_record(to + filled, n - filled, i + 1, position, e->mode, name, path + e->path_length - name);
    if (!size) return filled ? (i64)filled : -EINVAL;
    filled += size;
    file->position = position;
  }
  return filled;
}

static const struct operations image_operations = {
    .name = "image", .read = image_read, .stat = image_stat, .list = image_list, .seekable = true};

struct file *tree_open(const struct entry *e, u32 flags) {
  struct file *file = file_new(&image_operations, flags);
  if (file) file->entry = e;
  return file;
}

const struct entry *tree_of(struct file *file) { return file->operations == &image_operations ? file->entry : 0; }

i64 tree_laid_out(struct file *file, u64 offset) {
  const struct entry *e = tree_of(file);
  if (!e || !(e->flags & ENTRY_LAID_OUT) || offset) return 0;
  u64 i = index_of(e);
  if (mapped[i]) return -ENOMEM;
  mapped[i] = 1;
  return e->data;
}

u64 tree_in_place(struct file *file, u64 offset, u64 n) {
  const struct entry *e = tree_of(file);
  if (!e || offset > e->size || n > pages_of(e->size) * PAGE - offset) return 0;
  return e->data + offset;
}
