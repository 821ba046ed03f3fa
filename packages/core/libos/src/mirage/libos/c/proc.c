#include "proc.h"

#include "entry.h"
#include "memory.h"
#include "names.h"
#include "proc_text.h"
#include "text.h"

/* What there is, but for the links in /proc/1/fd: each is one of text, a link, or a directory. */
static const struct item {
  const char *path;
  void (*write)(struct text *text);
  const char *link;
} items[] = {
    {"/proc", 0, 0},
    {"/proc/self", 0, "1"},
    {"/proc/cpuinfo", write_cpuinfo, 0},
    {"/proc/loadavg", write_loadavg, 0},
    {"/proc/meminfo", write_meminfo, 0},
    {"/proc/mounts", 0, "self/mounts"},
    {"/proc/stat", write_system_stat, 0},
    {"/proc/uptime", write_uptime, 0},
    {"/proc/version", write_version, 0},
    {"/proc/1", 0, 0},
    {"/proc/1/cmdline", write_cmdline, 0},
    {"/proc/1/comm", write_comm, 0},
    {"/proc/1/cwd", 0, ""},
    {"/proc/1/environ", write_environ, 0},
    {"/proc/1/exe", 0, ""},
    {"/proc/1/fd", 0, 0},
    {"/proc/1/maps", write_maps, 0},
    {"/proc/1/mountinfo", write_mountinfo, 0},
    {"/proc/1/mounts", write_mounts, 0},
    {"/proc/1/root", 0, "/"},
    {"/proc/1/stat", write_stat, 0},
    {"/proc/1/statm", write_statm, 0},
    {"/proc/1/status", write_status, 0},
    {"/dev/fd", 0, "/proc/self/fd"},
    {"/dev/stdin", 0, "/proc/self/fd/0"},
    {"/dev/stdout", 0, "/proc/self/fd/1"},
    {"/dev/stderr", 0, "/proc/self/fd/2"},
};
enum { ITEMS = sizeof items / sizeof *items };
static const char descriptors[] = "/proc/1/fd/";

static const struct item *item_at(const char *path) {
  for (u64 i = 0; i < ITEMS; i++)
    if (!strcmp(path, items[i].path)) return &items[i];
  return 0;
}

static u32 item_mode(const struct item *item) {
  return item->write ? S_IFREG | 0444 : item->link ? S_IFLNK | 0777 : S_IFDIR | 0555;
}

/* The open file that a path in /proc/1/fd stands for, 0 when it is none. */
static struct file *file_at(const char *path) {
  if (!starts_with(path, descriptors)) return 0;
  u64 number = 0;
  const char *digits = path + sizeof descriptors - 1;
  if (!*digits || (digits[0] == '0' && digits[1])) return 0;
  for (; *digits; digits++) {
    if (*digits < '0' || *digits > '9' || number >= DESCRIPTORS) return 0;
    number = number * 10 + (*digits - '0');
  }
  return file_of(number);
}

bool proc_descriptor(const char *path, char *number) {
  if (!file_at(path)) return false;
  const char *digits = path + sizeof descriptors - 1;
  memcpy(number, digits, strlen(digits) + 1);
  return true;
}

/* What a file without a name is called: its kind and number. */
static void anonymous_name(struct file *file, char *target) {
  struct text text = {0, 0, 0};
  struct stat stat;
  file_stat(file, &stat);
  text_add(&text, "%s:[%d]", file->operations->name, (i64)stat.inode);
  memcpy(target, text.start, text.length);
  target[text.length] = 0;
  text_free(&text);
}

u32 proc_mode(const char *path, char *target) {
  struct file *file = file_at(path);
  if (file) {
    if (name_of(file, target)) anonymous_name(file, target);
    return S_IFLNK | 0700;
  }
  const struct item *item = item_at(path);
  if (!item) return 0;
  if (item->link) {
    const char *link = item->link;
    if (!strcmp(path, "/proc/1/exe")) link = (const char *)image.program_name;
    if (!strcmp(path, "/proc/1/cwd")) link = working_directory();
    memcpy(target, link, strlen(link) + 1);
  }
  return item_mode(item);
}

static void fill_stat(u32 mode, u64 inode, struct stat *stat) {
  memset(stat, 0, sizeof *stat);
  stat->device = PROC_DEVICE;
  stat->inode = inode;
  stat->links = 1;
  stat->mode = mode;
  stat->block_size = PAGE;
}

i64 proc_stat(const char *path, struct stat *stat) {
  const struct item *item = item_at(path);
  if (item)
    fill_stat(item_mode(item), item - items + 1, stat);
  else if (file_at(path))
    fill_stat(S_IFLNK | 0700, (u64)file_at(path) / 16, stat);
  else
    return -ENOENT;
  return 0;
}

/* ---- Open files ------------------------------------------------------------------------------------------------------- */

/* file->number: which item; file->object: the text, written when the file is opened. */

static i64 proc_read(struct file *file, u8 *to, u64 n, u64 at) {
  const struct text *text = file->object;
  if (!text) return -EISDIR;
  if (at >= text->length) return 0;
  n = minimum(n, text->length - at);
  memcpy(to, text->start + at, n);
  return n;
}

static void proc_fstat(struct file *file, struct stat *stat) {
  fill_stat(item_mode(&items[file->number]), file->number + 1, stat);
}

static i64 proc_path(struct file *file, char *path) {
  const char *name = items[file->number].path;
  memcpy(path, name, strlen(name) + 1);
  return 0;
}

/* The name of the place-th entry of a directory, 0 when there is none (`*end`: nor any behind it). */
static const char *entry_name(const struct item *folder, u64 place, u32 *mode, char *number, bool *end) {
  u64 n = strlen(folder->path);
  if (!strcmp(folder->path, "/proc/1/fd")) {
    *end = place >= DESCRIPTORS;
    *mode = S_IFLNK;
    if (!file_of(place)) return 0;
    char *at = number + 15;
    *at = 0;
    do *--at = '0' + place % 10;
    while (place /= 10);
    return at;
  }
  *end = place >= ITEMS;
  if (*end || !starts_with(items[place].path, folder->path) || items[place].path[n] != '/') return 0;
  const char *name = items[place].path + n + 1;
  for (const char *c = name; *c; c++)
    if (*c == '/') return 0;
  *mode = item_mode(&items[place]);
  return name;
}

static i64 proc_list(struct file *file, u8 *to, u64 n) {
  const struct item *folder = &items[file->number];
  if (folder->write) return -ENOTDIR;
  u64 filled = 0;
  bool end = false;
  for (;; file->position++) {
    char number[16];
    u32 mode;
    const char *name = entry_name(folder, file->position, &mode, number, &end);
    if (end) return filled;
    if (!name) continue;
    u64 next = file->position + 1;
    u64 size = directory_record(to + filled, n - filled, next, next, mode, name, strlen(name));
    if (!size) return filled ? (i64)filled : -EINVAL;
    filled += size;
  }
}

static struct pool text_pool = {sizeof(struct text), 0};

static void proc_close(struct file *file) {
  if (!file->object) return;
  text_free(file->object);
  pool_give(&text_pool, file->object);
}

static const struct operations proc_operations = {
    .name = "proc", .read = proc_read, .stat = proc_fstat, .list = proc_list, .close = proc_close, .path = proc_path,
    .seekable = true};

i64 proc_open(const char *path, u32 flags, struct file **file) {
  const struct item *item = item_at(path);
  if (!item) return file_at(path) ? -ELOOP : -ENOENT;
  if (!item->write && !item->link && (flags & O_ACCMODE)) return -EISDIR;
  if (item->link) return -ELOOP;
  if (flags & O_ACCMODE) return -EACCES;
  if (item->write && (flags & O_DIRECTORY)) return -ENOTDIR;
  struct text *text = item->write ? pool_take(&text_pool) : 0;
  if (item->write && !text) return -ENOMEM;
  *file = file_new(&proc_operations, flags);
  if (!*file) {
    if (text) pool_give(&text_pool, text);
    return -ENOMEM;
  }
  if (text) item->write(text);
  (*file)->object = text;
  (*file)->number = item - items;
  return 0;
}
