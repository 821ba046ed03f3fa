#include "tmpfs.h"

#include "memory.h"
#include "time.h"

enum { NAME_ROOM = 256, MOST_OCTETS = 1 << 30 };

/* A directory or a file. It lives while it has a name or is open. */
struct node {
  struct node *parent, *child, *next;
  u32 mode;
  u32 open;
  bool linked;
  u64 inode;
  u8 *data;      /* of a file: pages */
  u64 size, pages;
  i64 access, modify, change;
  u64 length;
  char name[NAME_ROOM];
};

static struct pool node_pool = {sizeof(struct node), 0};
static struct node *root;
static u64 inodes;
static const char mount[] = "/tmp";

static bool directory(const struct node *node) { return (node->mode & S_IFMT) == S_IFDIR; }

static struct node *node_new(u32 mode) {
  struct node *node = pool_take(&node_pool);
  if (!node) return 0;
  node->mode = mode;
  node->inode = ++inodes;
  node->access = node->modify = node->change = realtime();
  return node;
}

static void node_free(struct node *node) {
  if (node->linked || node->open) return;
  if (node->pages) pages_give((u64)node->data, node->pages);
  pool_give(&node_pool, node);
}

void tmpfs_start(void) {
  root = node_new(S_IFDIR | 01777);
  root->linked = true;
}

bool tmpfs_owns(const char *path) {
  return starts_with(path, mount) && (path[sizeof mount - 1] == '/' || !path[sizeof mount - 1]);
}

/* ---- Names ------------------------------------------------------------------------------------------------------------------- */

static struct node *child_named(struct node *parent, const char *name, u64 length) {
  for (struct node *child = parent->child; child; child = child->next)
    if (child->length == length && !memcmp(child->name, name, length)) return child;
  return 0;
}

/* Walks a path. *found is the node or 0, *parent the directory that holds or would hold it, *name its last part. */
static i64 walk(const char *path, struct node **parent, struct node **found, const char **name) {
  struct node *node = root;
  *parent = 0;
  *name = "";
  for (path += sizeof mount - 1; *path == '/';) {
    const char *start = ++path;
    while (*path && *path != '/') path++;
    u64 length = path - start;
    if (length >= NAME_ROOM) return -ENAMETOOLONG;
    if (!node) return -ENOENT;
    if (!directory(node)) return -ENOTDIR;
    *parent = node;
    *name = start;
    node = child_named(node, start, length);
  }
  *found = node;
  return 0;
}

static i64 existing(const char *path, struct node **node) {
  struct node *parent;
  const char *name;
  i64 result = walk(path, &parent, node, &name);
  return result ? result : *node ? 0 : -ENOENT;
}

static void link(struct node *parent, struct node *node, const char *name) {
  node->length = strlen(name);
  memcpy(node->name, name, node->length + 1);
  struct node **end = &parent->child;
  while (*end) end = &(*end)->next;
  *end = node;
  node->next = 0;
  node->parent = parent;
  node->linked = true;
  parent->modify = parent->change = realtime();
}

static void unlink(struct node *node) {
  struct node **at = &node->parent->child;
  while (*at != node) at = &(*at)->next;
  *at = node->next;
  node->parent->modify = node->parent->change = realtime();
  node->linked = false;
  node->next = 0;
}

bool tmpfs_is_directory(const char *path) {
  struct node *node;
  return !existing(path, &node) && directory(node);
}

i64 tmpfs_make_directory(const char *path, u32 mode) {
  struct node *parent, *node;
  const char *name;
  i64 result = walk(path, &parent, &node, &name);
  if (result) return result;
  if (node) return -EEXIST;
  node = node_new(S_IFDIR | (mode & 07777));
  if (!node) return -ENOSPC;
  link(parent, node, name);
  return 0;
}

i64 tmpfs_remove(const char *path, bool want_directory) {
  struct node *node;
  i64 result = existing(path, &node);
  if (result) return result;
  if (node == root) return -EPERM;
  if (want_directory && !directory(node)) return -ENOTDIR;
  if (!want_directory && directory(node)) return -EISDIR;
  if (node->child) return -ENOTEMPTY;
  unlink(node);
  node_free(node);
  return 0;
}

i64 tmpfs_rename(const char *from, const char *to) {
  struct node *node, *parent, *target;
  const char *name;
  i64 result = existing(from, &node);
  if (!result) result = walk(to, &parent, &target, &name);
  if (result) return result;
  if (node == root || target == root) return -EPERM;
  if (target == node) return 0;
  for (struct node *above = parent; above; above = above->parent)
    if (above == node) return -EINVAL;
  if (target) {
    if (directory(target) && !directory(node)) return -EISDIR;
    if (!directory(target) && directory(node)) return -ENOTDIR;
    if (target->child) return -ENOTEMPTY;
    unlink(target);
    node_free(target);
  }
  unlink(node);
  link(parent, node, name);
  node->change = realtime();
  return 0;
}

/* ---- Open files -------------------------------------------------------------------------------------------------------------- */

/* Makes room for `size` octets; what is added is zero. */
static i64 grow(struct node *node, u64 size) {
  if (size > MOST_OCTETS) return -EFBIG;
  u64 pages = pages_of(size);
  if (pages <= node->pages) return 0;
  if (pages < 2 * node->pages) pages = 2 * node->pages;
  u64 address = pages_take(pages);
  if (!address && (address = pages_take(pages_of(size)))) pages = pages_of(size);
  if (!address) return -ENOSPC;
  memcpy((void *)address, node->data, node->size);
  if (node->pages) pages_give((u64)node->data, node->pages);
  node->data = (u8 *)address;
  node->pages = pages;
  return 0;
}

static i64 node_truncate(struct node *node, u64 size) {
  i64 result = grow(node, size);
  if (result) return result;
  if (size < node->size) memset(node->data + size, 0, node->size - size);
  node->size = size;
  node->modify = node->change = realtime();
  return 0;
}

static i64 tmpfs_read(struct file *file, u8 *to, u64 n, u64 at) {
  struct node *node = file->object;
  if (directory(node)) return -EISDIR;
  if (at >= node->size) return 0;
  n = minimum(n, node->size - at);
  memcpy(to, node->data + at, n);
  return n;
}

static i64 tmpfs_write(struct file *file, const u8 *from, u64 n, u64 at) {
  struct node *node = file->object;
  if (at + n < at) return -EFBIG;
  i64 result = grow(node, at + n);
  if (result) return result;
  memcpy(node->data + at, from, n);
  if (at + n > node->size) node->size = at + n;
  node->modify = node->change = realtime();
  return n;
}

static i64 tmpfs_truncate(struct file *file, u64 size) { return node_truncate(file->object, size); }

static void node_stat(const struct node *node, struct stat *stat) {
  memset(stat, 0, sizeof *stat);
  stat->device = 2;
  stat->inode = node->inode;
  stat->links = directory(node) ? 2 : node->linked;
  stat->mode = node->mode;
  stat->size = directory(node) ? PAGE : node->size;
  stat->block_size = PAGE;
  stat->blocks = node->pages * 8;
  stat->access = node->access / NANOSECONDS, stat->access_ns = node->access % NANOSECONDS;
  stat->modify = node->modify / NANOSECONDS, stat->modify_ns = node->modify % NANOSECONDS;
  stat->change = node->change / NANOSECONDS, stat->change_ns = node->change % NANOSECONDS;
}

static void tmpfs_fstat(struct file *file, struct stat *stat) { node_stat(file->object, stat); }

static i64 tmpfs_list(struct file *file, u8 *to, u64 n) {
  struct node *node = file->object;
  if (!directory(node)) return -ENOTDIR;
  u64 filled = 0;
  /* The position is the inode of the last one listed, so that removing entries skips none. */
  for (struct node *child = node->child; child; child = child->next) {
    if (child->inode <= file->position) continue;
    u64 size = directory_record(to + filled, n - filled, child->inode, child->inode, child->mode, child->name,
                                child->length);
    if (!size) return filled ? (i64)filled : -EINVAL;
    filled += size;
    file->position = child->inode;
  }
  return filled;
}

static void tmpfs_close(struct file *file) {
  struct node *node = file->object;
  node->open--;
  node_free(node);
}

static const struct operations tmpfs_operations = {
    .name = "tmpfs", .read = tmpfs_read, .write = tmpfs_write, .stat = tmpfs_fstat, .truncate = tmpfs_truncate,
    .list = tmpfs_list, .close = tmpfs_close, .seekable = true};

bool tmpfs_has(struct file *file) { return file->operations == &tmpfs_operations; }

i64 tmpfs_open(const char *path, u32 flags, u32 mode, struct file **file) {
  struct node *parent, *node;
  const char *name;
  i64 result = walk(path, &parent, &node, &name);
  if (result) return result;
  bool writing = (flags & O_ACCMODE) || (flags & O_TRUNC);
  bool unnamed = (flags & O_TMPFILE) == O_TMPFILE;
  if (unnamed) {
    if (!node || !directory(node)) return -ENOENT;
    if (!(node = node_new(S_IFREG | (mode & 07777)))) return -ENOSPC;
  } else if (!node) {
    if (!(flags & O_CREAT)) return -ENOENT;
    if (!(node = node_new(S_IFREG | (mode & 07777)))) return -ENOSPC;
    link(parent, node, name);
  } else {
    if ((flags & O_CREAT) && (flags & O_EXCL)) return -EEXIST;
    if (directory(node) && (writing || (flags & O_CREAT))) return -EISDIR;
    if ((flags & O_DIRECTORY) && !directory(node)) return -ENOTDIR;
    if (flags & O_TRUNC) node_truncate(node, 0);
  }
  *file = file_new(&tmpfs_operations, flags);
  if (!*file) return -ENOMEM;
  (*file)->object = node;
  node->open++;
  return 0;
}

i64 tmpfs_stat(const char *path, struct stat *stat) {
  struct node *node;
  i64 result = existing(path, &node);
  if (!result) node_stat(node, stat);
  return result;
}

static i64 change_mode(struct node *node, u32 mode) {
  node->mode = (node->mode & S_IFMT) | (mode & 07777);
  node->change = realtime();
  return 0;
}

static i64 touch(struct node *node, const i64 *times) {
  if (times[0] >= 0) node->access = times[0];
  if (times[1] >= 0) node->modify = times[1];
  node->change = realtime();
  return 0;
}

i64 tmpfs_chmod(const char *path, u32 mode) {
  struct node *node;
  i64 result = existing(path, &node);
  return result ? result : change_mode(node, mode);
}

i64 tmpfs_touch(const char *path, const i64 *times) {
  struct node *node;
  i64 result = existing(path, &node);
  return result ? result : touch(node, times);
}

i64 tmpfs_fchmod(struct file *file, u32 mode) { return change_mode(file->object, mode); }
i64 tmpfs_ftouch(struct file *file, const i64 *times) { return touch(file->object, times); }

i64 tmpfs_path(struct file *file, char *path) {
  struct node *node = file->object;
  if (!directory(node)) return -ENOTDIR;
  u64 length = sizeof mount - 1;
  for (struct node *above = node; above != root; above = above->parent) {
    if (!above->linked) return -ENOENT;
    length += above->length + 1;
  }
  if (length >= PATH_ROOM) return -ENAMETOOLONG;
  path[length] = 0;
  for (; node != root; node = node->parent) {
    length -= node->length;
    memcpy(path + length, node->name, node->length);
    path[--length] = '/';
  }
  memcpy(path, mount, sizeof mount - 1);
  return 0;
}
