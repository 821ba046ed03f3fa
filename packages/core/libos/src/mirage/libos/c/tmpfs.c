#include "tmpfs.h"

#include "entry.h"
#include "memory.h"
#include "nodes.h"
#include "time.h"
#include "tree.h"

enum { MOUNTS = 16, RENAME_NOREPLACE = 1, RENAME_EXCHANGE = 2 };

static struct { const char *path; u64 length; struct node *root; } mounts[MOUNTS];
static u64 mount_count;
static struct pool name_pool = {sizeof(struct name), 0};
static u64 cookies;

/* ---- Names ------------------------------------------------------------------------------------------------------------ */

static struct name *child_named(struct node *parent, const char *text, u64 length) {
  for (struct name *child = parent->child; child; child = child->next)
    if (child->length == length && !memcmp(child->text, text, length)) return child;
  return 0;
}

static i64 link(struct node *parent, struct node *node, const char *text) {
  struct name *name = pool_take(&name_pool);
  if (!name) return -ENOSPC;
  name->length = strlen(text);
  memcpy(name->text, text, name->length + 1);
  name->cookie = ++cookies;
  name->parent = parent;
  name->node = node;
  node->name = name;
  node->links++;
  struct name **end = &parent->child;
  while (*end) end = &(*end)->next;
  *end = name;
  parent->modify = parent->change = node->change = realtime();
  return 0;
}

static void unlink(struct name *name) {
  struct node *node = name->node;
  struct name **at = &name->parent->child;
  while (*at != name) at = &(*at)->next;
  *at = name->next;
  name->parent->modify = name->parent->change = node->change = realtime();
  if (node->name == name) node->name = 0;
  pool_give(&name_pool, name);
  node->links--;
  node_free(node);
}

static i64 mount_of(const char *path) {
  for (u64 i = 0; i < mount_count; i++)
    if (starts_with(path, mounts[i].path) && (!path[mounts[i].length] || path[mounts[i].length] == '/')) return i;
  return -ENOENT;
}

bool tmpfs_owns(const char *path) { return mount_of(path) >= 0; }
const char *tmpfs_mount(u64 i) { return i < mount_count ? mounts[i].path : 0; }

/* Where a path leads: the node or 0, the directory that holds or would hold it (0 above a root), the last part. */
struct place { struct node *parent, *node; struct name *name; const char *text; };

static i64 find(const char *path, struct place *place) {
  u64 mount = mount_of(path);
  *place = (struct place){.node = mounts[mount].root, .text = ""};
  for (path += mounts[mount].length; *path == '/';) {
    const char *start = ++path;
    while (*path && *path != '/') path++;
    u64 length = path - start;
    if (length >= NAME_ROOM) return -ENAMETOOLONG;
    if (!place->node) return -ENOENT;
    if (!node_is_directory(place->node)) return -ENOTDIR;
    place->parent = place->node;
    place->text = start;
    place->name = child_named(place->node, start, length);
    place->node = place->name ? place->name->node : 0;
  }
  return 0;
}

static i64 existing(const char *path, struct node **node) {
  struct place place;
  i64 result = find(path, &place);
  *node = place.node;
  return result ? result : *node ? 0 : -ENOENT;
}

u32 tmpfs_mode(const char *path, char *target) {
  struct node *node;
  if (existing(path, &node)) return 0;
  if ((node->mode & S_IFMT) == S_IFLNK) target[node_read(node, (u8 *)target, PATH_ROOM - 1, 0)] = 0;
  return node->mode;
}

/* Makes something new under a name. */
static i64 make(const char *path, u32 mode, struct node **node) {
  struct place place;
  i64 result = find(path, &place);
  if (result) return result;
  if (place.node) return -EEXIST;
  if (!place.parent->links) return -ENOENT; /* a directory that was removed while it was open */
  *node = node_new(mode, place.parent->mount);
  if (!*node) return -ENOSPC;
  result = link(place.parent, *node, place.text);
  if (result) node_free(*node);
  return result;
}

i64 tmpfs_make_directory(const char *path, u32 mode) {
  struct node *node;
  return make(path, S_IFDIR | (mode & 07777), &node);
}

i64 tmpfs_symlink(const char *path, const char *target) {
  struct node *node;
  i64 result = make(path, S_IFLNK | 0777, &node);
  if (result) return result;
  result = node_write(node, (const u8 *)target, strlen(target), 0);
  if (result >= 0) return 0;
  unlink(node->name);
  return result;
}

i64 tmpfs_link(const char *from, const char *to) {
  struct node *node;
  struct place place;
  i64 result = existing(from, &node);
  if (!result) result = find(to, &place);
  if (result) return result;
  if (place.node) return -EEXIST;
  if (node_is_directory(node)) return -EPERM;
  if (mount_of(from) != mount_of(to)) return -EXDEV;
  return link(place.parent, node, place.text);
}

i64 tmpfs_remove(const char *path, bool want_directory) {
  struct place place;
  i64 result = find(path, &place);
  if (result) return result;
  if (!place.node) return -ENOENT;
  if (!place.name) return -EBUSY; /* a mount */
  if (want_directory && !node_is_directory(place.node)) return -ENOTDIR;
  if (!want_directory && node_is_directory(place.node)) return -EISDIR;
  if (place.node->child) return -ENOTEMPTY;
  unlink(place.name);
  return 0;
}

static bool holds(const struct node *node, const struct node *inner) {
  for (; inner; inner = inner->name ? inner->name->parent : 0)
    if (inner == node) return true;
  return false;
}

static i64 exchange(struct place *a, struct place *b) {
  if (!b->node) return -ENOENT;
  if (holds(b->node, a->parent)) return -EINVAL;
  a->name->node = b->node;
  b->name->node = a->node;
  a->name->node->name = a->name;
  b->name->node->name = b->name;
  return 0;
}

i64 tmpfs_rename(const char *from, const char *to, u64 flags) {
  struct place old, new;
  if (flags > RENAME_EXCHANGE) return -EINVAL;
  i64 result = find(from, &old);
  if (!result) result = find(to, &new);
  if (result) return result;
  if (!old.node) return -ENOENT;
  if (!old.name || (new.node && !new.name)) return -EBUSY;
  if (mount_of(from) != mount_of(to)) return -EXDEV;
  if (new.node && (flags & RENAME_NOREPLACE)) return -EEXIST;
  if (new.node == old.node) return 0;
  if (node_is_directory(old.node) && holds(old.node, new.parent)) return -EINVAL;
  if (flags & RENAME_EXCHANGE) return exchange(&old, &new);
  if (new.node) {
    if (node_is_directory(new.node) && !node_is_directory(old.node)) return -EISDIR;
    if (!node_is_directory(new.node) && node_is_directory(old.node)) return -ENOTDIR;
    if (new.node->child) return -ENOTEMPTY;
  }
  result = link(new.parent, old.node, new.text);
  if (result) return result;
  struct name *name = old.node->name;
  if (new.name) unlink(new.name);
  unlink(old.name);
  name->node->name = name;
  return 0;
}

/* ---- Open files --------------------------------------------------------------------------------------------------------- */

static i64 tmpfs_read(struct file *file, u8 *to, u64 n, u64 at) {
  return node_is_directory(file->object) ? -EISDIR : node_read(file->object, to, n, at);
}

static i64 tmpfs_write(struct file *file, const u8 *from, u64 n, u64 at) {
  return node_write(file->object, from, n, at);
}

static i64 tmpfs_truncate(struct file *file, u64 size) {
  return node_is_directory(file->object) ? -EISDIR : node_truncate(file->object, size);
}

/* The seconds are rounded down: times before 1970 are negative. */
static void split_time(i64 time, u64 *seconds, u64 *rest) {
  i64 below = time % NANOSECONDS < 0;
  *seconds = time / NANOSECONDS - below;
  *rest = time - (i64)*seconds * NANOSECONDS;
}

static void node_stat(const struct node *node, struct stat *stat) {
  memset(stat, 0, sizeof *stat);
  stat->device = TMPFS_DEVICE + node->mount;
  stat->inode = node->inode;
  stat->links = node_is_directory(node) ? 2 : node->links;
  stat->mode = node->mode;
  stat->user = node->user;
  stat->group = node->group;
  stat->size = node_is_directory(node) ? PAGE : node->size;
  stat->block_size = PAGE;
  stat->blocks = minimum(node->pages, pages_of(node->size)) * 8;
  split_time(node->access, &stat->access, &stat->access_ns);
  split_time(node->modify, &stat->modify, &stat->modify_ns);
  split_time(node->change, &stat->change, &stat->change_ns);
}

static void tmpfs_fstat(struct file *file, struct stat *stat) { node_stat(file->object, stat); }

static i64 tmpfs_list(struct file *file, u8 *to, u64 n) {
  struct node *node = file->object;
  if (!node_is_directory(node)) return -ENOTDIR;
  u64 filled = 0;
  /* The position is the cookie of the last one listed, so that removing entries skips none. */
  for (struct name *child = node->child; child; child = child->next) {
    if (child->cookie <= file->position) continue;
    u64 size = directory_record(to + filled, n - filled, child->node->inode, child->cookie, child->node->mode,
                                child->text, child->length);
    if (!size) return filled ? (i64)filled : -EINVAL;
    filled += size;
    file->position = child->cookie;
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

static struct file *open_node(struct node *node, u32 flags) {
  struct file *file = file_new(&tmpfs_operations, flags);
  if (!file) return 0;
  file->object = node;
  node->open++;
  return file;
}

struct file *tmpfs_reopen(struct file *file, u32 flags) {
  struct node *node = file->object;
  if ((flags & O_TRUNC) && !node_is_directory(node)) node_truncate(node, 0);
  return open_node(node, flags);
}

struct file *tmpfs_unnamed(u32 flags) {
  struct node *node = node_new(S_IFREG | 0777, 0);
  struct file *file = node ? open_node(node, flags) : 0;
  if (node && !file) node_free(node);
  return file;
}

i64 tmpfs_open(const char *path, u32 flags, u32 mode, struct file **file) {
  struct place place;
  i64 result = find(path, &place);
  if (result) return result;
  struct node *node = place.node;
  bool unnamed = (flags & O_TMPFILE) == O_TMPFILE;
  if (unnamed) {
    if (!node || !node_is_directory(node)) return node ? -ENOTDIR : -ENOENT;
    if (!(flags & O_ACCMODE)) return -EINVAL;
    if (!(node = node_new(S_IFREG | (mode & 07777), node->mount))) return -ENOSPC;
  } else if (!node) {
    if (!(flags & O_CREAT)) return -ENOENT;
    if ((result = make(path, S_IFREG | (mode & 07777), &node))) return result;
  } else {
    bool folder = node_is_directory(node);
    if ((flags & O_CREAT) && (flags & O_EXCL)) return -EEXIST;
    if ((node->mode & S_IFMT) == S_IFLNK) return -ELOOP;
    if (folder && ((flags & (O_ACCMODE | O_TRUNC | O_CREAT)) != 0)) return -EISDIR;
    if ((flags & O_DIRECTORY) && !folder) return -ENOTDIR;
    if ((flags & O_TRUNC) && !folder) node_truncate(node, 0);
  }
  *file = open_node(node, flags);
  if (!*file) {
    node_free(node);
    return -ENOMEM;
  }
  return 0;
}

i64 tmpfs_stat(const char *path, struct stat *stat) {
  struct node *node;
  i64 result = existing(path, &node);
  if (!result) node_stat(node, stat);
  return result;
}

i64 tmpfs_reserve(struct file *file, u64 size, bool keep_size) {
  struct node *node = file->object;
  if (node_is_directory(node)) return -EISDIR;
  i64 result = node_grow(node, size);
  return result || keep_size || size <= node->size ? result : node_truncate(node, size);
}

i64 tmpfs_punch(struct file *file, u64 at, u64 n) {
  struct node *node = file->object;
  if (at < node->size) node_zero(node, at, minimum(n, node->size - at));
  return 0;
}

i64 tmpfs_map(struct file *file, u64 offset, u64 pages) { return node_map(file->object, offset, pages); }
void tmpfs_unmap(struct file *file, u64 address) { node_unmap(file->object, address); }

/* ---- Attributes ---------------------------------------------------------------------------------------------------------- */

static i64 change_mode(struct node *node, u32 mode) {
  node->mode = (node->mode & S_IFMT) | (mode & 07777);
  node->change = realtime();
  return 0;
}

static i64 change_owner(struct node *node, u32 user, u32 group) {
  if (user != ~0u) node->user = user;
  if (group != ~0u) node->group = group;
  node->change = realtime();
  return 0;
}

static i64 touch(struct node *node, const i64 *times) {
  if (times[0] != LEAVE_TIME) node->access = times[0];
  if (times[1] != LEAVE_TIME) node->modify = times[1];
  node->change = realtime();
  return 0;
}

i64 tmpfs_chmod(const char *path, u32 mode) {
  struct node *node;
  i64 result = existing(path, &node);
  return result ? result : change_mode(node, mode);
}

i64 tmpfs_chown(const char *path, u32 user, u32 group) {
  struct node *node;
  i64 result = existing(path, &node);
  return result ? result : change_owner(node, user, group);
}

i64 tmpfs_touch(const char *path, const i64 *times) {
  struct node *node;
  i64 result = existing(path, &node);
  return result ? result : touch(node, times);
}

i64 tmpfs_fchmod(struct file *file, u32 mode) { return change_mode(file->object, mode); }
i64 tmpfs_fchown(struct file *file, u32 user, u32 group) { return change_owner(file->object, user, group); }
i64 tmpfs_ftouch(struct file *file, const i64 *times) { return touch(file->object, times); }

i64 tmpfs_path(struct file *file, char *path) {
  static const char gone[] = " (deleted)";
  const struct node *node = file->object;
  u64 at = PATH_ROOM - 1;
  path[at] = 0;
  if (!node->name && node != mounts[node->mount].root) {
    at -= sizeof gone - 1;
    memcpy(path + at, gone, sizeof gone - 1);
  }
  for (; node->name; node = node->name->parent) {
    const struct name *name = node->name;
    if (at < name->length + 1 + 256) return -ENAMETOOLONG;
    at -= name->length;
    memcpy(path + at, name->text, name->length);
    path[--at] = '/';
  }
  const char *mount = mounts[node->mount].path;
  u64 n = mounts[node->mount].length;
  memmove(path + n, path + at, PATH_ROOM - at);
  memcpy(path, mount, n);
  return 0;
}

/* ---- Starting ------------------------------------------------------------------------------------------------------------ */

u64 tmpfs_limit(void) { return node_pages_limit; }
u64 tmpfs_used(void) { return node_pages_used; }
u64 tmpfs_room(void) { return minimum(node_pages_limit - node_pages_used, pages_free()); }

/* What the image has below a place, which follows it in the tree's order; its pages are borrowed. */
static void populate(const char *mount, u64 length) {
  char path[PATH_ROOM];
  if (length + 2 > sizeof path) return;
  memcpy(path, mount, length);
  path[length] = '/';
  path[length + 1] = 0;
  const struct entry *e;
  for (u64 i = tree_after(path); (e = tree_entry(i)); i++) {
    if (e->path_length <= length + 1 || memcmp(tree_path(e), path, length + 1)) break;
    if (e->path_length >= sizeof path) continue;
    char name[PATH_ROOM];
    memcpy(name, tree_path(e), e->path_length);
    name[e->path_length] = 0;
    struct node *node;
    if (make(name, e->mode | 0200, &node)) continue;
    if ((e->mode & S_IFMT) != S_IFDIR) node_borrow(node, e->data, e->size);
    node->access = node->modify = node->change = e->mtime;
  }
}

static void mount(const char *path, u32 mode) {
  if (mount_count == MOUNTS) return;
  struct node *root = node_new(S_IFDIR | mode, mount_count);
  root->links = 1;
  mounts[mount_count].path = path;
  mounts[mount_count].length = strlen(path);
  mounts[mount_count++].root = root;
  populate(path, strlen(path));
}

void tmpfs_start(void) {
  node_pages_limit = pages_total() / 2;
  mount("/tmp", 01777);
  for (const char *path = (const char *)image.writable; *path; path += strlen(path) + 1) mount(path, 0755);
}
