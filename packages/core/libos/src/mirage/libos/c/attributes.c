#include "attributes.h"

#include "memory.h"
#include "names.h"
#include "time.h"
#include "tmpfs.h"

/* A name of something that is there: 0 when its attributes may be changed, else the error. */
static i64 changeable(i64 directory, u64 name, u64 flags, char *path) {
  struct stat stat;
  i64 result = resolve(directory, name, !(flags & AT_SYMLINK_NOFOLLOW), path);
  if (!result) result = stat_path(path, &stat);
  if (result) return result;
  return tmpfs_owns(path) ? 0 : -EROFS;
}

/* The same of an open file. */
static i64 changeable_file(u64 descriptor, struct file **file) {
  *file = file_of(descriptor);
  if (!*file) return -EBADF;
  return tmpfs_has(*file) ? 0 : -EROFS;
}

static bool names_itself(u64 name, u64 flags) {
  return (flags & AT_EMPTY_PATH) && may_read(name, 1) && !*(const char *)name;
}

/* ---- Mode --------------------------------------------------------------------------------------------------------------- */

i64 sys_fchmod(const u64 *a) {
  struct file *file;
  i64 result = changeable_file(a[0], &file);
  return result ? result : tmpfs_fchmod(file, a[1]);
}

static i64 change_mode(const u64 *a) {
  char path[PATH_ROOM];
  struct stat stat;
  i64 result = changeable(a[0], a[1], a[3], path);
  if (!result) result = stat_path(path, &stat);
  if (result) return result;
  return (stat.mode & S_IFMT) == S_IFLNK ? -EOPNOTSUPP : tmpfs_chmod(path, a[2]);
}

i64 sys_fchmodat(const u64 *a) {
  u64 arguments[] = {a[0], a[1], a[2], 0};
  return change_mode(arguments);
}

i64 sys_chmod(const u64 *a) {
  u64 arguments[] = {AT_FDCWD, a[0], a[1], 0};
  return change_mode(arguments);
}

/* ---- Owner -------------------------------------------------------------------------------------------------------------- */

i64 sys_fchown(const u64 *a) {
  struct file *file;
  i64 result = changeable_file(a[0], &file);
  return result ? result : tmpfs_fchown(file, a[1], a[2]);
}

i64 sys_fchownat(const u64 *a) {
  char path[PATH_ROOM];
  if (names_itself(a[1], a[4])) {
    u64 arguments[] = {a[0], a[2], a[3]};
    return sys_fchown(arguments);
  }
  i64 result = changeable(a[0], a[1], a[4], path);
  return result ? result : tmpfs_chown(path, a[2], a[3]);
}

i64 sys_chown(const u64 *a) {
  u64 arguments[] = {AT_FDCWD, a[0], a[1], a[2], 0};
  return sys_fchownat(arguments);
}

i64 sys_lchown(const u64 *a) {
  u64 arguments[] = {AT_FDCWD, a[0], a[1], a[2], AT_SYMLINK_NOFOLLOW};
  return sys_fchownat(arguments);
}

/* ---- Times -------------------------------------------------------------------------------------------------------------- */

/* `path` 0: the open file `directory`. */
static i64 touch(i64 directory, u64 name, u64 flags, const i64 *times) {
  char path[PATH_ROOM];
  struct file *file;
  if (!name) {
    i64 result = changeable_file(directory, &file);
    return result ? result : tmpfs_ftouch(file, times);
  }
  i64 result = changeable(directory, name, flags, path);
  return result ? result : tmpfs_touch(path, times);
}

static i64 nanoseconds(i64 seconds, i64 rest) {
  i64 limit = FOREVER / NANOSECONDS - 1;
  if (seconds > limit) seconds = limit;
  if (seconds < -limit) seconds = -limit;
  return seconds * NANOSECONDS + rest;
}

i64 sys_utimensat(const u64 *a) {
  enum { UTIME_NOW = 0x3fffffff, UTIME_OMIT = 0x3ffffffe };
  i64 now = realtime(), times[2] = {now, now};
  if (a[2]) {
    if (!may_read(a[2], 32)) return -EFAULT;
    const i64 *given = (const i64 *)a[2];
    for (int i = 0; i < 2; i++) {
      i64 rest = given[2 * i + 1];
      if (rest == UTIME_NOW) continue;
      if (rest != UTIME_OMIT && (rest < 0 || rest >= NANOSECONDS)) return -EINVAL;
      times[i] = rest == UTIME_OMIT ? LEAVE_TIME : nanoseconds(given[2 * i], rest);
    }
  }
  return touch(a[0], a[1], a[3], times);
}

i64 sys_utimes(const u64 *a) {
  i64 now = realtime(), times[2] = {now, now};
  if (a[1]) {
    if (!may_read(a[1], 32)) return -EFAULT;
    const i64 *given = (const i64 *)a[1];
    for (int i = 0; i < 2; i++) {
      if (given[2 * i + 1] < 0 || given[2 * i + 1] >= 1000000) return -EINVAL;
      times[i] = nanoseconds(given[2 * i], given[2 * i + 1] * 1000);
    }
  }
  return a[0] ? touch(AT_FDCWD, a[0], 0, times) : -EFAULT;
}

i64 sys_utime(const u64 *a) {
  i64 now = realtime(), times[2] = {now, now};
  if (a[1]) {
    if (!may_read(a[1], 16)) return -EFAULT;
    for (int i = 0; i < 2; i++) times[i] = nanoseconds(((const i64 *)a[1])[i], 0);
  }
  return a[0] ? touch(AT_FDCWD, a[0], 0, times) : -EFAULT;
}

i64 sys_no_attributes(const u64 *a) { return (void)a, -EOPNOTSUPP; }
