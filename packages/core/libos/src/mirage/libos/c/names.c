#include "names.h"

#include "devices.h"
#include "hostdev.h"
#include "memory.h"
#include "proc.h"
#include "tmpfs.h"
#include "transfer.h"
#include "tree.h"

static char working[PATH_ROOM] = "/";
static u32 creation_mask = 022;

enum { MOST_LINKS = 40, COMPONENT_ROOM = 256 };

const char *working_directory(void) { return working; }

/* ---- Resolving ------------------------------------------------------------------------------------------------------- */

static bool below(const char *path, const char *folder) {
  u64 n = strlen(folder);
  return starts_with(path, folder) && (!path[n] || path[n] == '/');
}

/* The mode of what stands at a path free of links but for the last part, 0 for nothing; of a link also where it leads. */
static u32 mode_at(const char *path, char *target) {
  if (tmpfs_owns(path)) return tmpfs_mode(path, target);
  if (below(path, "/proc") || below(path, "/dev")) {
    u32 mode = proc_mode(path, target);
    if (mode) return mode;
    struct stat stat;
    return stat_path(path, &stat) ? 0 : stat.mode;
  }
  const struct entry *e = tree_lookup(path);
  if (!e) return 0;
  if ((e->mode & S_IFMT) == S_IFLNK) {
    u64 n = minimum(e->size, PATH_ROOM - 1);
    memcpy(target, (const char *)e->data, n);
    target[n] = 0;
  }
  return e->mode;
}

/* Whether an absolute path is plain (no `.`, `..` or empty part) and lies in the image, at least but for its last part. */
static bool plainly_in_tree(const char *path) {
  u64 slash = 0, i = 0;
  for (; path[i]; i++) {
    if (path[i] != '/') continue;
    slash = i;
    if (path[i + 1] == '/' || path[i + 1] == '.' || !path[i + 1]) return false;
  }
  if (i - slash > COMPONENT_ROOM) return false;
  if (tmpfs_owns(path) || below(path, "/proc") || below(path, "/dev")) return false;
  const struct entry *e = tree_lookup(path);
  if (e) return (e->mode & S_IFMT) != S_IFLNK;
  char parent[PATH_ROOM];
  memcpy(parent, path, slash);
  parent[slash] = 0;
  return slash && (e = tree_lookup(parent)) && (e->mode & S_IFMT) == S_IFDIR;
}

/* Puts a link's target in place of what has been read of the text. */
static i64 substitute(char *text, const char *rest, const char *target) {
  u64 before = strlen(target), after = strlen(rest);
  if (before + after + 1 > PATH_ROOM) return -ENAMETOOLONG;
  memmove(text + before, rest, after + 1);
  memcpy(text, target, before);
  return 0;
}

/* Follows `text` from the directory in `path` (of n octets, none for the root). */
static i64 walk(char *text, char *path, u64 n, bool follow) {
  char target[PATH_ROOM];
  u64 links = 0;
  for (const char *at = text;;) {
    while (*at == '/') at++;
    if (!*at) break;
    const char *start = at;
    while (*at && *at != '/') at++;
    u64 length = at - start, before = n;
    if (length == 1 && start[0] == '.') continue;
    if (length == 2 && start[0] == '.' && start[1] == '.') {
      while (n && path[n - 1] != '/') n--;
      if (n) n--;
      continue;
    }
    if (length >= COMPONENT_ROOM || n + length + 2 > PATH_ROOM) return -ENAMETOOLONG;
    path[n++] = '/';
    memcpy(path + n, start, length);
    path[n += length] = 0;
    const char *rest = at;
    while (*rest == '/') rest++;
    bool last = !*rest, slash = *at == '/';
    u32 kind = mode_at(path, target) & S_IFMT;
    if (kind == S_IFLNK && (!last || slash || follow)) {
      if (++links > MOST_LINKS) return -ELOOP;
      if (last && proc_descriptor(path, target)) { /* to an open file, which may have no name */
        memcpy(path, target, strlen(target) + 1);
        return 0;
      }
      i64 result = substitute(text, at, target);
      if (result) return result;
      n = *target == '/' ? 0 : before;
      at = text;
      continue;
    }
    if (!kind && !last) return -ENOENT;
    if (kind && kind != S_IFDIR && (!last || slash)) return -ENOTDIR;
  }
  if (!n) path[n++] = '/';
  path[n] = 0;
  return 0;
}

static i64 directory_path(struct file *file, char *path) {
  struct stat stat;
  if (!file->operations->list) return -ENOTDIR;
  file->operations->stat(file, &stat);
  return (stat.mode & S_IFMT) == S_IFDIR ? name_of(file, path) : -ENOTDIR;
}

i64 resolve(i64 directory, u64 name, bool follow, char *path) {
  char text[PATH_ROOM];
  i64 length = copy_string(name, text, PATH_ROOM);
  if (length < 0) return length;
  if (!length) return -ENOENT;
  if (text[0] == '/' && plainly_in_tree(text)) {
    memcpy(path, text, length + 1);
    return 0;
  }
  u64 n = 0;
  if (text[0] != '/') {
    if ((i32)directory == AT_FDCWD) {
      memcpy(path, working, strlen(working) + 1);
    } else {
      struct file *file = file_of((u32)directory);
      if (!file) return -EBADF;
      i64 result = directory_path(file, path);
      if (result) return result;
    }
    n = strlen(path);
    if (n == 1) n = 0;
  }
  return walk(text, path, n, follow);
}

i64 name_of(struct file *file, char *path) {
  if (tmpfs_has(file)) return tmpfs_path(file, path);
  const struct entry *e = tree_of(file);
  if (!e) return file->operations->path ? file->operations->path(file, path) : -ENOENT;
  u64 n = minimum(e->path_length, PATH_ROOM - 1);
  memcpy(path, tree_path(e), n);
  path[n] = 0;
  return 0;
}

/* ---- Opening and looking --------------------------------------------------------------------------------------------- */

static u64 number_in(const char *text) {
  u64 n = 0;
  while (*text) n = n * 10 + (*text++ - '0');
  return n;
}

/* Opens a file that is open once more: one with a place of its own where it is a file, the same one else. */
static i64 reopen(struct file *old, u64 flags) {
  struct file *file = old;
  if (!old) return -ENOENT;
  if (tmpfs_has(old))
    file = tmpfs_reopen(old, flags);
  else if (tree_of(old))
    file = tree_open(tree_of(old), flags);
  else
    old->references++;
  return descriptor_new(file, 0, flags & O_CLOEXEC);
}

static i64 tree_open_path(const char *path, u64 flags, struct file **file) {
  bool writing = (flags & O_ACCMODE) || (flags & O_TRUNC);
  const struct entry *e = tree_lookup(path);
  if (!e) return (flags & O_CREAT) ? -EROFS : -ENOENT;
  bool folder = (e->mode & S_IFMT) == S_IFDIR;
  if ((flags & O_CREAT) && (flags & O_EXCL)) return -EEXIST;
  if ((e->mode & S_IFMT) == S_IFLNK) return -ELOOP;
  if (folder && (writing || (flags & O_CREAT))) return -EISDIR;
  if (writing) return -EROFS;
  if ((flags & O_DIRECTORY) && !folder) return -ENOTDIR;
  *file = tree_open(e, flags);
  return 0;
}

i64 open_path(const char *path, u64 flags, u32 mode) {
  struct file *file = 0;
  i64 result;
  if (path[0] != '/') return reopen(file_of(number_in(path)), flags);
  if (tmpfs_owns(path))
    result = tmpfs_open(path, flags, mode & ~creation_mask, &file);
  else if ((result = proc_open(path, flags, &file)) == -ENOENT && (result = device_open(path, flags, &file)) == -ENOENT)
    result = tree_open_path(path, flags, &file);
  return result ? result : descriptor_new(file, 0, flags & O_CLOEXEC);
}

i64 sys_openat(const u64 *a) {
  char path[PATH_ROOM];
  bool follow = !(a[2] & O_NOFOLLOW) && (a[2] & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL);
  i64 length = copy_string(a[1], path, PATH_ROOM);
  if (length > 0 && path[length - 1] == '/' && (a[2] & O_CREAT)) return -EISDIR; /* no file is made under such a name */
  i64 result = resolve(a[0], a[1], follow, path);
  return result ? result : open_path(path, a[2], a[3]);
}

i64 sys_open(const u64 *a) {
  u64 arguments[] = {AT_FDCWD, a[0], a[1], a[2]};
  return sys_openat(arguments);
}

i64 sys_creat(const u64 *a) {
  u64 arguments[] = {AT_FDCWD, a[0], O_CREAT | O_TRUNC | 1, a[1]};
  return sys_openat(arguments);
}

i64 stat_path(const char *path, struct stat *stat) {
  struct file *file;
  if (path[0] != '/') return file_stat(file_of(number_in(path)), stat);
  if (tmpfs_owns(path)) return tmpfs_stat(path, stat);
  i64 result = proc_stat(path, stat);
  if (result == -ENOENT) result = host_device_stat(path, stat);
  if (result != -ENOENT) return result;
  if (!(result = device_open(path, 0, &file))) {
    if (!file) return -ENOMEM;
    file->operations->stat(file, stat);
    file_drop(file);
    return 0;
  }
  const struct entry *e = tree_lookup(path);
  if (!e) return -ENOENT;
  tree_stat(e, stat);
  return 0;
}

i64 sys_newfstatat(const u64 *a) {
  char path[PATH_ROOM];
  if (!may_write(a[2], sizeof(struct stat))) return -EFAULT;
  if ((a[3] & AT_EMPTY_PATH) && may_read(a[1], 1) && !*(char *)a[1] && (i32)a[0] != AT_FDCWD) {
    u64 arguments[] = {a[0], a[2]};
    return sys_fstat(arguments);
  }
  i64 result = resolve(a[0], a[1], !(a[3] & AT_SYMLINK_NOFOLLOW), path);
  return result ? result : stat_path(path, (struct stat *)a[2]);
}

i64 sys_stat(const u64 *a) {
  u64 arguments[] = {AT_FDCWD, a[0], a[1], 0};
  return sys_newfstatat(arguments);
}

i64 sys_lstat(const u64 *a) {
  u64 arguments[] = {AT_FDCWD, a[0], a[1], AT_SYMLINK_NOFOLLOW};
  return sys_newfstatat(arguments);
}

i64 sys_faccessat2(const u64 *a) {
  char path[PATH_ROOM];
  struct stat stat;
  if (a[2] & ~7UL) return -EINVAL;
  i64 result = resolve(a[0], a[1], !(a[3] & AT_SYMLINK_NOFOLLOW), path);
  if (!result) result = stat_path(path, &stat);
  if (result) return result;
  if ((a[2] & 2) && stat.device == TREE_DEVICE) return -EROFS;
  if ((a[2] & 1) && !(stat.mode & 0111)) return -EACCES;
  return 0;
}

i64 sys_faccessat(const u64 *a) {
  u64 arguments[] = {a[0], a[1], a[2], 0};
  return sys_faccessat2(arguments);
}

i64 sys_access(const u64 *a) {
  u64 arguments[] = {AT_FDCWD, a[0], a[1], 0};
  return sys_faccessat2(arguments);
}

i64 sys_readlinkat(const u64 *a) {
  char path[PATH_ROOM], target[PATH_ROOM];
  i64 result = resolve(a[0], a[1], false, path);
  if (result) return result;
  u32 mode = mode_at(path, target);
  if (!mode) return -ENOENT;
  if ((mode & S_IFMT) != S_IFLNK || (i64)a[3] <= 0) return -EINVAL;
  u64 n = minimum(strlen(target), a[3]);
  if (!may_write(a[2], n)) return -EFAULT;
  memcpy((void *)a[2], target, n);
  return n;
}

i64 sys_readlink(const u64 *a) {
  u64 arguments[] = {AT_FDCWD, a[0], a[1], a[2]};
  return sys_readlinkat(arguments);
}

/* ---- The working directory ------------------------------------------------------------------------------------------- */

i64 sys_umask(const u64 *a) {
  u32 old = creation_mask;
  creation_mask = a[0] & 0777;
  return old;
}

i64 sys_getcwd(const u64 *a) {
  u64 n = strlen(working) + 1;
  struct stat stat;
  if (stat_path(working, &stat)) return -ENOENT; /* it has been removed */
  if (n > a[1]) return -ERANGE;
  if (!may_write(a[0], n)) return -EFAULT;
  memcpy((void *)a[0], working, n);
  return n;
}

i64 sys_chdir(const u64 *a) {
  char path[PATH_ROOM];
  struct stat stat;
  i64 result = resolve(AT_FDCWD, a[0], true, path);
  if (!result && path[0] != '/') result = directory_path(file_of(number_in(path)), path);
  if (!result) result = stat_path(path, &stat);
  if (result) return result;
  if ((stat.mode & S_IFMT) != S_IFDIR) return -ENOTDIR;
  memcpy(working, path, strlen(path) + 1);
  return 0;
}

i64 sys_fchdir(const u64 *a) {
  char path[PATH_ROOM];
  struct file *file = file_of(a[0]);
  if (!file) return -EBADF;
  i64 result = directory_path(file, path);
  if (!result) memcpy(working, path, strlen(path) + 1);
  return result;
}

/* ---- Changing names -------------------------------------------------------------------------------------------------- */

/* Resolves a name that is to be made, changed or removed: 0 where that is possible, else what Linux would say. */
static i64 writable_name(i64 directory, u64 name, bool follow, i64 when_there, char *path) {
  struct stat stat;
  i64 result = resolve(directory, name, follow, path);
  if (result) return result;
  if (tmpfs_owns(path)) return 0;
  result = stat_path(path, &stat);
  if (!result) return when_there;
  return when_there == -EEXIST ? -EROFS : result;
}

i64 sys_truncate(const u64 *a) {
  char path[PATH_ROOM];
  if ((i64)a[1] < 0) return -EINVAL;
  i64 result = writable_name(AT_FDCWD, a[0], true, -EROFS, path);
  if (result) return result;
  i64 descriptor = open_path(path, 2, 0);
  if (descriptor < 0) return descriptor;
  u64 arguments[] = {descriptor, a[1]};
  result = sys_ftruncate(arguments);
  sys_close(arguments);
  return result;
}

i64 sys_mkdirat(const u64 *a) {
  char path[PATH_ROOM];
  i64 result = writable_name(a[0], a[1], false, -EEXIST, path);
  return result ? result : tmpfs_make_directory(path, a[2] & ~creation_mask);
}

i64 sys_mkdir(const u64 *a) {
  u64 arguments[] = {AT_FDCWD, a[0], a[1]};
  return sys_mkdirat(arguments);
}

i64 sys_unlinkat(const u64 *a) {
  char path[PATH_ROOM];
  i64 result = writable_name(a[0], a[1], false, -EROFS, path);
  return result ? result : tmpfs_remove(path, a[2] & AT_REMOVEDIR);
}

i64 sys_unlink(const u64 *a) {
  u64 arguments[] = {AT_FDCWD, a[0], 0};
  return sys_unlinkat(arguments);
}

i64 sys_rmdir(const u64 *a) {
  u64 arguments[] = {AT_FDCWD, a[0], AT_REMOVEDIR};
  return sys_unlinkat(arguments);
}

i64 sys_renameat2(const u64 *a) {
  char from[PATH_ROOM], to[PATH_ROOM];
  i64 result = resolve(a[0], a[1], false, from);
  if (!result) result = resolve(a[2], a[3], false, to);
  if (result) return result;
  struct stat stat;
  result = stat_path(from, &stat);
  if (result) return result;
  if (tmpfs_owns(from) != tmpfs_owns(to)) return -EXDEV;
  return tmpfs_owns(from) ? tmpfs_rename(from, to, a[4]) : -EROFS;
}

i64 sys_renameat(const u64 *a) {
  u64 arguments[] = {a[0], a[1], a[2], a[3], 0};
  return sys_renameat2(arguments);
}

i64 sys_rename(const u64 *a) {
  u64 arguments[] = {AT_FDCWD, a[0], AT_FDCWD, a[1], 0};
  return sys_renameat2(arguments);
}

i64 sys_symlinkat(const u64 *a) {
  char target[PATH_ROOM], path[PATH_ROOM];
  i64 length = copy_string(a[0], target, PATH_ROOM);
  if (length <= 0) return length ? length : -ENOENT;
  i64 result = writable_name(a[1], a[2], false, -EEXIST, path);
  return result ? result : tmpfs_symlink(path, target);
}

i64 sys_symlink(const u64 *a) {
  u64 arguments[] = {a[0], AT_FDCWD, a[1]};
  return sys_symlinkat(arguments);
}

i64 sys_linkat(const u64 *a) {
  char from[PATH_ROOM], to[PATH_ROOM];
  struct stat stat;
  i64 result = resolve(a[0], a[1], a[4] & AT_SYMLINK_FOLLOW, from);
  if (!result) result = stat_path(from, &stat);
  if (!result) result = writable_name(a[2], a[3], false, -EEXIST, to);
  if (result) return result;
  return tmpfs_owns(from) ? tmpfs_link(from, to) : -EXDEV;
}

i64 sys_link(const u64 *a) {
  u64 arguments[] = {AT_FDCWD, a[0], AT_FDCWD, a[1], 0};
  return sys_linkat(arguments);
}

/* ---- The file system ------------------------------------------------------------------------------------------------- */

static i64 write_statfs(u64 address, bool writable) {
  if (!may_write(address, 120)) return -EFAULT;
  u64 *out = (u64 *)address;
  memset(out, 0, 120);
  out[0] = writable ? 0x01021994 : 0x73717368; /* as tmpfs and squashfs call themselves */
  out[1] = PAGE;
  out[2] = writable ? tmpfs_limit() : pages_total();
  out[3] = out[4] = writable ? tmpfs_room() : 0;
  out[5] = out[6] = writable ? 1 << 20 : 0;
  out[8] = COMPONENT_ROOM - 1;
  out[9] = PAGE;
  out[10] = writable ? 0x20 : 0x21; /* ST_VALID, ST_RDONLY */
  return 0;
}

i64 sys_statfs(const u64 *a) {
  char path[PATH_ROOM];
  struct stat stat;
  i64 result = resolve(AT_FDCWD, a[0], true, path);
  if (!result) result = stat_path(path, &stat);
  return result ? result : write_statfs(a[1], tmpfs_owns(path));
}

i64 sys_fstatfs(const u64 *a) {
  struct file *file = file_of(a[0]);
  return file ? write_statfs(a[1], tmpfs_has(file)) : -EBADF;
}
