#include "files.h"

#include "devices.h"
#include "entry.h"
#include "memory.h"
#include "poll.h"
#include "time.h"
#include "tmpfs.h"

static struct pool file_pool = {sizeof(struct file), 0};
static struct { struct file *file; bool close_on_exec; } descriptors[DESCRIPTORS];
static char working[PATH_ROOM] = "/";
static u32 creation_mask = 022;
static u8 *mapped; /* one octet for each entry: this shared library has been mapped */

enum { AT_FDCWD = -100, AT_EMPTY_PATH = 0x1000, AT_REMOVEDIR = 0x200 };

/* ---- Descriptors --------------------------------------------------------------------------------------------------- */

void files_start(void) { mapped = (u8 *)pages_take(pages_of(image.entry_count + 1)); }

struct file *file_of(u64 descriptor) { return descriptor < DESCRIPTORS ? descriptors[descriptor].file : 0; }

struct file *file_new(const struct operations *operations, u32 flags) {
  struct file *file = pool_take(&file_pool);
  if (!file) return 0;
  file->operations = operations;
  file->flags = flags & ~(O_CREAT | O_EXCL | O_TRUNC | O_CLOEXEC);
  file->references = 1;
  return file;
}

void file_drop(struct file *file) {
  if (--file->references) return;
  if (file->operations->close) file->operations->close(file);
  pool_give(&file_pool, file);
}

i64 descriptor_new(struct file *file, u64 lowest, bool close_on_exec) {
  if (!file) return -ENOMEM;
  for (u64 i = lowest; i < DESCRIPTORS; i++)
    if (!descriptors[i].file) {
      descriptors[i].file = file;
      descriptors[i].close_on_exec = close_on_exec;
      return i;
    }
  file_drop(file);
  return -EMFILE;
}

i64 sys_close(const u64 *a) {
  struct file *file = file_of(a[0]);
  if (!file) return -EBADF;
  descriptors[a[0]].file = 0;
  if (file->references == 1) poll_forget(file);
  file_drop(file);
  wake_pollers();
  return 0;
}

i64 sys_close_range(const u64 *a) {
  if (a[1] < a[0] || a[2]) return -EINVAL;
  for (u64 i = a[0]; i <= a[1] && i < DESCRIPTORS; i++)
    if (file_of(i)) sys_close(&i);
  return 0;
}

static i64 duplicate(u64 from, u64 lowest, bool close_on_exec) {
  struct file *file = file_of(from);
  if (!file) return -EBADF;
  file->references++;
  return descriptor_new(file, lowest, close_on_exec);
}

i64 sys_dup(const u64 *a) { return duplicate(a[0], 0, false); }

i64 sys_dup3(const u64 *a) {
  struct file *file = file_of(a[0]);
  if (!file || a[1] >= DESCRIPTORS) return -EBADF;
  if (a[0] == a[1]) return -EINVAL;
  file->references++;
  sys_close(a + 1);
  descriptors[a[1]].file = file;
  descriptors[a[1]].close_on_exec = a[2] & O_CLOEXEC;
  return a[1];
}

i64 sys_dup2(const u64 *a) {
  if (a[0] == a[1]) return file_of(a[0]) ? (i64)a[0] : -EBADF;
  u64 arguments[3] = {a[0], a[1], 0};
  return sys_dup3(arguments);
}

i64 sys_fcntl(const u64 *a) {
  enum { F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW, F_DUPFD_CLOEXEC = 1030 };
  struct file *file = file_of(a[0]);
  if (!file) return -EBADF;
  switch (a[1]) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
      return a[2] >= DESCRIPTORS ? -EINVAL : duplicate(a[0], a[2], a[1] == F_DUPFD_CLOEXEC);
    case F_GETFD: return descriptors[a[0]].close_on_exec;
    case F_SETFD: descriptors[a[0]].close_on_exec = a[2] & 1; return 0;
    case F_GETFL: return file->flags;
    case F_SETFL:
      file->flags = (file->flags & ~(O_APPEND | O_NONBLOCK)) | (a[2] & (O_APPEND | O_NONBLOCK));
      return 0;
    case F_SETLK:
    case F_SETLKW: return 0; /* there is nobody else to lock out */
    case F_GETLK:
      if (!may_write(a[2], 32)) return -EFAULT;
      *(u16 *)a[2] = 2; /* F_UNLCK */
      return 0;
    default: return -EINVAL;
  }
}

/* ---- Names ----------------------------------------------------------------------------------------------------------- */

static const struct entry *tree(u64 i) { return (const struct entry *)image.entries + i; }
static const char *entry_path(const struct entry *e) { return (const char *)image.strings + e->path; }

static const struct entry *lookup(const char *path) {
  u64 low = 0, high = image.entry_count, length = strlen(path);
  while (low < high) {
    u64 middle = (low + high) / 2;
    const struct entry *e = tree(middle);
    int order = memcmp(path, entry_path(e), minimum(length, e->path_length));
    if (!order) order = length < e->path_length ? -1 : length > e->path_length;
    if (!order) return e;
    if (order < 0)
      high = middle;
    else
      low = middle + 1;
  }
  return 0;
}

static bool is_directory(const struct entry *e) { return (e->mode & S_IFMT) == S_IFDIR; }

/* Appends the components of `text` to a path of length n. Returns the new length or an error. */
static i64 append(char *path, i64 n, const char *text) {
  while (*text) {
    while (*text == '/') text++;
    const char *start = text;
    while (*text && *text != '/') text++;
    u64 length = text - start;
    if (!length || (length == 1 && start[0] == '.')) continue;
    if (length == 2 && start[0] == '.' && start[1] == '.') {
      while (n && path[n - 1] != '/') n--;
      if (n) n--;
      continue;
    }
    if (n + length + 2 > PATH_ROOM) return -ENAMETOOLONG;
    path[n++] = '/';
    memcpy(path + n, start, length);
    n += length;
  }
  return n;
}

static const struct operations image_operations;

static i64 directory_path(struct file *file, char *path) {
  if (tmpfs_has(file)) return tmpfs_path(file, path);
  if (file->operations != &image_operations || !is_directory(file->entry)) return -ENOTDIR;
  u64 n = minimum(file->entry->path_length, PATH_ROOM - 1);
  memcpy(path, entry_path(file->entry), n);
  path[n] = 0;
  return 0;
}

/* The absolute, normal form of a name, relative to a directory's descriptor. Returns 0 or an error. */
static i64 normalise(i64 directory, u64 name, char *path) {
  char text[PATH_ROOM];
  i64 length = copy_string(name, text, PATH_ROOM);
  if (length < 0) return length;
  if (!length) return -ENOENT;
  i64 n = 0;
  if (text[0] != '/') {
    if ((i32)directory == AT_FDCWD) {
      n = append(path, 0, working);
    } else {
      char parent[PATH_ROOM];
      struct file *file = file_of((u32)directory);
      if (!file) return -EBADF;
      n = directory_path(file, parent);
      if (!n) n = append(path, 0, parent);
    }
    if (n < 0) return n;
  }
  n = append(path, n, text);
  if (n < 0) return n;
  if (!n) path[n++] = '/';
  path[n] = 0;
  return 0;
}

/* ---- Files of the image ---------------------------------------------------------------------------------------------- */

static void entry_stat(const struct entry *e, struct stat *stat) {
  memset(stat, 0, sizeof *stat);
  stat->device = 1;
  stat->inode = (e - tree(0)) + 1;
  stat->links = is_directory(e) ? 2 : 1;
  stat->mode = e->mode;
  stat->size = e->size;
  stat->block_size = PAGE;
  stat->blocks = (e->size + 511) / 512;
  stat->access = stat->modify = stat->change = e->mtime / NANOSECONDS;
  stat->access_ns = stat->modify_ns = stat->change_ns = e->mtime % NANOSECONDS;
}

static i64 image_read(struct file *file, u8 *to, u64 n, u64 at) {
  const struct entry *e = file->entry;
  if (is_directory(e)) return -EISDIR;
  if (at >= e->size) return 0;
  n = minimum(n, e->size - at);
  memcpy(to, (const u8 *)e->data + at, n);
  return n;
}

static void image_stat(struct file *file, struct stat *stat) { entry_stat(file->entry, stat); }

u64 directory_record(u8 *to, u64 room, u64 inode, u64 next, u32 mode, const char *name, u64 length) {
  u64 size = (19 + length + 1 + 7) & ~7UL;
  if (size > room) return 0;
  memset(to, 0, size);
  *(u64 *)to = inode;
  *(u64 *)(to + 8) = next;
  *(u16 *)(to + 16) = size;
  to[18] = (mode & S_IFMT) >> 12;
  memcpy(to + 19, name, length);
  return size;
}

static i64 image_list(struct file *file, u8 *to, u64 n) {
  const struct entry *directory = file->entry;
  if (!is_directory(directory)) return -ENOTDIR;
  u64 filled = 0, position = 0;
  for (u32 i = directory->child; i != NO_ENTRY; i = tree(i)->next) {
    if (position++ < file->position) continue;
    const struct entry *e = tree(i);
    const char *path = entry_path(e), *name = path + e->path_length;
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

bool file_is_regular(struct file *file) {
  struct stat stat;
  if (!file->operations->stat) return false;
  file->operations->stat(file, &stat);
  return (stat.mode & S_IFMT) == S_IFREG;
}

i64 file_laid_out(struct file *file, u64 offset) {
  if (file->operations != &image_operations || !(file->entry->flags & ENTRY_LAID_OUT) || offset) return 0;
  u64 i = file->entry - tree(0);
  if (mapped[i]) return -ENOMEM;
  mapped[i] = 1;
  return file->entry->data;
}

u64 file_in_place(struct file *file, u64 offset, u64 n) {
  if (file->operations != &image_operations) return 0;
  if (offset > file->entry->size || n > pages_of(file->entry->size) * PAGE - offset) return 0;
  return file->entry->data + offset;
}

void file_copy(struct file *file, void *to, u64 n, u64 offset) { file->operations->read(file, to, n, offset); }

static i64 open_path(const char *path, u32 flags, u32 mode) {
  struct file *file = 0;
  bool writing = (flags & O_ACCMODE) || (flags & O_TRUNC);
  i64 result;
  if (tmpfs_owns(path)) {
    result = tmpfs_open(path, flags, mode & ~creation_mask, &file);
  } else if ((result = device_open(path, flags, &file)) == -ENOENT) {
    const struct entry *e = lookup(path);
    if (!e) return (flags & O_CREAT) ? -EROFS : -ENOENT;
    if ((flags & O_CREAT) && (flags & O_EXCL)) return -EEXIST;
    if (is_directory(e) && (writing || (flags & O_CREAT))) return -EISDIR;
    if (writing) return -EROFS;
    if ((flags & O_DIRECTORY) && !is_directory(e)) return -ENOTDIR;
    file = file_new(&image_operations, flags);
    if (file) file->entry = e;
    result = 0;
  }
  return result ? result : descriptor_new(file, 0, flags & O_CLOEXEC);
}

i64 sys_openat(const u64 *a) {
  char path[PATH_ROOM];
  i64 result = normalise(a[0], a[1], path);
  return result ? result : open_path(path, a[2], a[3]);
}

i64 sys_open(const u64 *a) {
  u64 arguments[] = {AT_FDCWD, a[0], a[1], a[2]};
  return sys_openat(arguments);
}

static i64 stat_path(const char *path, struct stat *stat) {
  if (tmpfs_owns(path)) return tmpfs_stat(path, stat);
  struct file *file;
  i64 result = device_open(path, 0, &file);
  if (!result) {
    if (!file) return -ENOMEM;
    file->operations->stat(file, stat);
    file_drop(file);
    return 0;
  }
  const struct entry *e = lookup(path);
  if (!e) return -ENOENT;
  entry_stat(e, stat);
  return 0;
}

i64 sys_newfstatat(const u64 *a) {
  char path[PATH_ROOM];
  if (!may_write(a[2], sizeof(struct stat))) return -EFAULT;
  if ((a[3] & AT_EMPTY_PATH) && may_read(a[1], 1) && !*(char *)a[1]) {
    u64 arguments[] = {a[0], a[2]};
    return sys_fstat(arguments);
  }
  i64 result = normalise(a[0], a[1], path);
  return result ? result : stat_path(path, (struct stat *)a[2]);
}

i64 sys_stat(const u64 *a) {
  u64 arguments[] = {AT_FDCWD, a[0], a[1], 0};
  return sys_newfstatat(arguments);
}

i64 sys_fstat(const u64 *a) {
  struct file *file = file_of(a[0]);
  if (!file) return -EBADF;
  if (!may_write(a[1], sizeof(struct stat))) return -EFAULT;
  struct stat *stat = (struct stat *)a[1];
  if (file->operations->stat) {
    file->operations->stat(file, stat);
  } else {
    memset(stat, 0, sizeof *stat);
    stat->inode = (u64)file->object / 16;
    stat->links = 1;
    stat->mode = file->operations->mode | 0600;
    stat->block_size = PAGE;
  }
  return 0;
}

i64 sys_faccessat(const u64 *a) {
  char path[PATH_ROOM];
  struct stat stat;
  i64 result = normalise(a[0], a[1], path);
  if (!result) result = stat_path(path, &stat);
  if (result) return result;
  if ((a[2] & 2) && stat.device == 1) return -EROFS;
  if ((a[2] & 1) && !(stat.mode & 0111)) return -EACCES;
  return 0;
}

i64 sys_access(const u64 *a) {
  u64 arguments[] = {AT_FDCWD, a[0], a[1]};
  return sys_faccessat(arguments);
}

i64 sys_getdents64(const u64 *a) {
  struct file *file = file_of(a[0]);
  if (!file) return -EBADF;
  if (!file->operations->list) return -ENOTDIR;
  return may_write(a[1], a[2]) ? file->operations->list(file, (u8 *)a[1], a[2]) : -EFAULT;
}

/* ---- Octets ---------------------------------------------------------------------------------------------------------- */

static u64 size_of(struct file *file) {
  struct stat stat;
  if (!file->operations->stat) return 0;
  file->operations->stat(file, &stat);
  return stat.size;
}

/* Reads at `at`, or at the file's position when that is negative. Waits, unless the file is not to wait. */
static i64 read_at(struct file *file, u64 to, u64 n, i64 at) {
  if ((file->flags & O_ACCMODE) == 1 || !file->operations->read) return -EBADF;
  if (at >= 0 && !file->operations->seekable) return -ESPIPE;
  if (!may_write(to, n)) return -EFAULT;
  for (;;) {
    i64 done = file->operations->read(file, (u8 *)to, n, at < 0 ? file->position : (u64)at);
    if (done > 0 && at < 0 && file->operations->seekable) file->position += done;
    if (done != -EAGAIN || (file->flags & O_NONBLOCK)) return done;
    i64 waited = wait_ready(file, POLL_IN);
    if (waited) return waited;
  }
}

static i64 write_at(struct file *file, u64 from, u64 n, i64 at) {
  if (!(file->flags & O_ACCMODE) || !file->operations->write) return -EBADF;
  if (at >= 0 && !file->operations->seekable) return -ESPIPE;
  if (!may_read(from, n)) return -EFAULT;
  if (file->operations->seekable && at < 0 && (file->flags & O_APPEND)) file->position = size_of(file);
  u64 total = 0;
  for (;;) {
    i64 done = file->operations->write(file, (const u8 *)from + total, n - total, at < 0 ? file->position : (u64)at);
    if (done > 0) {
      if (at < 0 && file->operations->seekable) file->position += done;
      total += done;
      if (total == n || (file->flags & O_NONBLOCK) || file->operations->seekable) return total;
      continue;
    }
    if (done != -EAGAIN) return total ? (i64)total : done;
    if (file->flags & O_NONBLOCK) return total ? (i64)total : -EAGAIN;
    i64 waited = wait_ready(file, POLL_OUT);
    if (waited) return total ? (i64)total : waited;
  }
}

i64 sys_read(const u64 *a) {
  struct file *file = file_of(a[0]);
  return file ? read_at(file, a[1], a[2], -1) : -EBADF;
}

i64 sys_write(const u64 *a) {
  struct file *file = file_of(a[0]);
  return file ? write_at(file, a[1], a[2], -1) : -EBADF;
}

i64 sys_pread64(const u64 *a) {
  struct file *file = file_of(a[0]);
  if (!file) return -EBADF;
  return (i64)a[3] < 0 ? -EINVAL : read_at(file, a[1], a[2], a[3]);
}

i64 sys_pwrite64(const u64 *a) {
  struct file *file = file_of(a[0]);
  if (!file) return -EBADF;
  return (i64)a[3] < 0 ? -EINVAL : write_at(file, a[1], a[2], a[3]);
}

static i64 vector(const u64 *a, i64 at, i64 (*one)(struct file *, u64, u64, i64)) {
  struct file *file = file_of(a[0]);
  if (!file) return -EBADF;
  if (a[2] > 1024) return -EINVAL;
  if (!may_read(a[1], a[2] * 16)) return -EFAULT;
  if (file->operations->message)
    return at < 0 ? file->operations->message(file, (const struct part *)a[1], a[2], one == write_at) : -ESPIPE;
  const u64 *parts = (const u64 *)a[1];
  i64 total = 0;
  for (u64 i = 0; i < a[2]; i++) {
    if (!parts[2 * i + 1]) continue;
    i64 done = one(file, parts[2 * i], parts[2 * i + 1], at < 0 ? at : at + total);
    if (done < 0) return total ? total : done;
    total += done;
    if ((u64)done < parts[2 * i + 1]) break;
  }
  return total;
}

i64 sys_readv(const u64 *a) { return vector(a, -1, read_at); }
i64 sys_writev(const u64 *a) { return vector(a, -1, write_at); }
i64 sys_preadv(const u64 *a) { return (i64)a[3] < 0 ? -EINVAL : vector(a, a[3], read_at); }
i64 sys_pwritev(const u64 *a) { return (i64)a[3] < 0 ? -EINVAL : vector(a, a[3], write_at); }

i64 sys_lseek(const u64 *a) {
  struct file *file = file_of(a[0]);
  if (!file) return -EBADF;
  if (!file->operations->seekable) return -ESPIPE;
  i64 base = a[2] == 0 ? 0 : a[2] == 1 ? (i64)file->position : a[2] == 2 ? (i64)size_of(file) : -1;
  if (base < 0) return -EINVAL;
  i64 position = base + (i64)a[1];
  if (position < 0) return -EINVAL;
  return file->position = position;
}

i64 sys_ioctl(const u64 *a) {
  enum { FIONBIO = 0x5421, FIOCLEX = 0x5451, FIONCLEX = 0x5450 };
  struct file *file = file_of(a[0]);
  if (!file) return -EBADF;
  switch ((u32)a[1]) {
    case FIONBIO:
      if (!may_read(a[2], 4)) return -EFAULT;
      file->flags = *(i32 *)a[2] ? file->flags | O_NONBLOCK : file->flags & ~O_NONBLOCK;
      return 0;
    case FIOCLEX: descriptors[a[0]].close_on_exec = true; return 0;
    case FIONCLEX: descriptors[a[0]].close_on_exec = false; return 0;
    default: return file->operations->control ? file->operations->control(file, (u32)a[1], a[2]) : -ENOTTY;
  }
}

i64 sys_ftruncate(const u64 *a) {
  struct file *file = file_of(a[0]);
  if (!file) return -EBADF;
  if ((i64)a[1] < 0 || !file->operations->truncate || !(file->flags & O_ACCMODE)) return -EINVAL;
  return file->operations->truncate(file, a[1]);
}

i64 sys_flock(const u64 *a) { return file_of(a[0]) ? 0 : -EBADF; }

i64 sys_fsync(const u64 *a) {
  struct file *file = file_of(a[0]);
  if (!file) return -EBADF;
  return file->operations->sync ? file->operations->sync(file) : 0;
}

/* ---- Changing names -------------------------------------------------------------------------------------------------- */

/* A name in a writable place: 0, or the error that the read-only tree gives. */
static i64 writable_name(i64 directory, u64 name, char *path) {
  i64 result = normalise(directory, name, path);
  if (result) return result;
  if (tmpfs_owns(path)) return 0;
  return -EROFS;
}

i64 sys_truncate(const u64 *a) {
  char path[PATH_ROOM];
  i64 result = writable_name(AT_FDCWD, a[0], path);
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
  struct stat stat;
  i64 result = normalise(a[0], a[1], path);
  if (result) return result;
  if (!tmpfs_owns(path)) return stat_path(path, &stat) ? -EROFS : -EEXIST;
  return tmpfs_make_directory(path, a[2] & ~creation_mask);
}

i64 sys_mkdir(const u64 *a) {
  u64 arguments[] = {AT_FDCWD, a[0], a[1]};
  return sys_mkdirat(arguments);
}

i64 sys_unlinkat(const u64 *a) {
  char path[PATH_ROOM];
  struct stat stat;
  i64 result = normalise(a[0], a[1], path);
  if (result) return result;
  if (!tmpfs_owns(path)) return stat_path(path, &stat) ? -ENOENT : -EROFS;
  return tmpfs_remove(path, a[2] & AT_REMOVEDIR);
}

i64 sys_unlink(const u64 *a) {
  u64 arguments[] = {AT_FDCWD, a[0], 0};
  return sys_unlinkat(arguments);
}

i64 sys_rmdir(const u64 *a) {
  u64 arguments[] = {AT_FDCWD, a[0], AT_REMOVEDIR};
  return sys_unlinkat(arguments);
}

i64 sys_renameat(const u64 *a) {
  char from[PATH_ROOM], to[PATH_ROOM];
  struct stat stat;
  i64 result = normalise(a[0], a[1], from);
  if (!result) result = normalise(a[2], a[3], to);
  if (!result) result = stat_path(from, &stat);
  if (result) return result;
  if (!tmpfs_owns(from)) return -EROFS;
  return tmpfs_owns(to) ? tmpfs_rename(from, to) : -EXDEV;
}

i64 sys_rename(const u64 *a) {
  u64 arguments[] = {AT_FDCWD, a[0], AT_FDCWD, a[1]};
  return sys_renameat(arguments);
}

i64 sys_fchmodat(const u64 *a) {
  char path[PATH_ROOM];
  i64 result = writable_name(a[0], a[1], path);
  return result ? result : tmpfs_chmod(path, a[2]);
}

i64 sys_chmod(const u64 *a) {
  u64 arguments[] = {AT_FDCWD, a[0], a[1]};
  return sys_fchmodat(arguments);
}

i64 sys_fchmod(const u64 *a) {
  struct file *file = file_of(a[0]);
  if (!file) return -EBADF;
  return tmpfs_has(file) ? tmpfs_fchmod(file, a[1]) : -EROFS;
}

i64 sys_utimensat(const u64 *a) {
  enum { UTIME_NOW = 0x3fffffff, UTIME_OMIT = 0x3ffffffe };
  i64 times[2] = {realtime(), realtime()};
  if (a[2]) {
    if (!may_read(a[2], 32)) return -EFAULT;
    const i64 *given = (const i64 *)a[2];
    for (int i = 0; i < 2; i++) {
      if (given[2 * i + 1] == UTIME_NOW) continue;
      times[i] = given[2 * i + 1] == UTIME_OMIT ? -1 : given[2 * i] * NANOSECONDS + given[2 * i + 1];
    }
  }
  if (!a[1]) {
    struct file *file = file_of(a[0]);
    if (!file) return -EBADF;
    return tmpfs_has(file) ? tmpfs_ftouch(file, times) : -EROFS;
  }
  char path[PATH_ROOM];
  struct stat stat;
  i64 result = normalise(a[0], a[1], path);
  if (!result) result = stat_path(path, &stat);
  if (result) return result;
  return tmpfs_owns(path) ? tmpfs_touch(path, times) : -EROFS;
}

i64 sys_umask(const u64 *a) {
  u32 old = creation_mask;
  creation_mask = a[0] & 0777;
  return old;
}

i64 sys_getcwd(const u64 *a) {
  u64 n = strlen(working) + 1;
  if (n > a[1]) return -ERANGE;
  if (!may_write(a[0], n)) return -EFAULT;
  memcpy((void *)a[0], working, n);
  return n;
}

i64 sys_chdir(const u64 *a) {
  char path[PATH_ROOM];
  struct stat stat;
  i64 result = normalise(AT_FDCWD, a[0], path);
  if (!result) result = stat_path(path, &stat);
  if (result) return result;
  if ((stat.mode & S_IFMT) != S_IFDIR) return -ENOTDIR;
  memcpy(working, path, strlen(path) + 1);
  return 0;
}

i64 sys_fchdir(const u64 *a) {
  struct file *file = file_of(a[0]);
  if (!file) return -EBADF;
  return directory_path(file, working);
}

i64 sys_readlinkat(const u64 *a) {
  char path[PATH_ROOM];
  struct stat stat;
  i64 result = normalise(a[0], a[1], path);
  if (result) return result;
  if (!strcmp(path, "/proc/self/exe")) {
    const char *name = (const char *)image.program_name;
    u64 n = minimum(strlen(name), a[3]);
    if (!may_write(a[2], n)) return -EFAULT;
    memcpy((void *)a[2], name, n);
    return n;
  }
  result = stat_path(path, &stat);
  return result ? result : -EINVAL;
}

i64 sys_readlink(const u64 *a) {
  u64 arguments[] = {AT_FDCWD, a[0], a[1], a[2]};
  return sys_readlinkat(arguments);
}

i64 sys_symlink(const u64 *a) { return (void)a, -EPERM; }
i64 sys_link(const u64 *a) { return (void)a, -EPERM; }

i64 sys_statfs(const u64 *a) {
  if (!may_write(a[1], 120)) return -EFAULT;
  u64 *out = (u64 *)a[1];
  memset(out, 0, 120);
  out[0] = 0x01021994; /* TMPFS_MAGIC */
  out[1] = PAGE;
  out[2] = shared->boot.memory / PAGE;
  out[3] = out[4] = pages_free();
  out[8] = 255;
  out[9] = PAGE;
  return 0;
}
