#include "transfer.h"

#include "files.h"
#include "memory.h"
#include "tmpfs.h"

enum { CHUNK_PAGES = 16 };

/* A place in a file: what `address` points to, or the file's own when it is 0. */
static i64 place_of(u64 address, bool given, i64 *at) {
  *at = -1;
  if (!given) return 0;
  if (!may_write(address, 8)) return -EFAULT;
  *at = *(i64 *)address;
  return *at < 0 ? -EINVAL : 0;
}

/* Copies up to n octets through a buffer; the places go forward. Returns how many, or an error if none. */
static i64 move(struct file *from, i64 *from_at, struct file *to, i64 *to_at, u64 n) {
  u64 buffer = pages_take(CHUNK_PAGES);
  if (!buffer) return -ENOMEM;
  i64 total = 0, result = 0;
  from->references++, to->references++; /* another thread may close them meanwhile */
  while ((u64)total < n) {
    i64 got = file_read(from, buffer, minimum(n - total, CHUNK_PAGES * PAGE), *from_at);
    if (got <= 0) {
      result = got;
      break;
    }
    result = file_write(to, buffer, got, *to_at);
    i64 put = result < 0 ? 0 : result;
    if (*from_at >= 0)
      *from_at += put;
    else if (from->operations->seekable)
      from->position -= got - put;
    if (*to_at >= 0) *to_at += put;
    total += put;
    if (put < got) break;
  }
  file_drop(from), file_drop(to);
  pages_give(buffer, CHUNK_PAGES);
  return total ? total : result;
}

/* The source must be a file: from a pipe octets would be lost when the target does not take them all. */
i64 sys_sendfile(const u64 *a) {
  struct file *to = file_of(a[0]), *from = file_of(a[1]);
  i64 from_at, to_at = -1;
  if (!to || !from) return -EBADF;
  if (!from->operations->seekable) return -EINVAL;
  i64 result = place_of(a[2], a[2], &from_at);
  if (!result) result = move(from, &from_at, to, &to_at, a[3]);
  if (result >= 0 && a[2]) *(i64 *)a[2] = from_at;
  return result;
}

i64 sys_copy_file_range(const u64 *a) {
  struct file *from = file_of(a[0]), *to = file_of(a[2]);
  i64 from_at, to_at;
  if (!to || !from) return -EBADF;
  if (a[5] || !file_is_regular(from) || !file_is_regular(to)) return -EINVAL;
  i64 result = place_of(a[1], a[1], &from_at);
  if (!result) result = place_of(a[3], a[3], &to_at);
  if (!result) result = move(from, &from_at, to, &to_at, a[4]);
  if (result >= 0 && a[1]) *(i64 *)a[1] = from_at;
  if (result >= 0 && a[3]) *(i64 *)a[3] = to_at;
  return result;
}

i64 sys_fallocate(const u64 *a) {
  enum { FALLOC_KEEP_SIZE = 1, FALLOC_PUNCH_HOLE = 2, FALLOC_ZERO_RANGE = 16 };
  struct file *file = file_of(a[0]);
  i64 at = a[2], n = a[3], end;
  if (!file || !(file->flags & O_ACCMODE)) return -EBADF;
  if (!file->operations->seekable) return -ESPIPE;
  if (!tmpfs_has(file)) return -ENODEV;
  if (at < 0 || n <= 0) return -EINVAL;
  if (__builtin_add_overflow(at, n, &end)) return -EFBIG;
  if (a[1] & ~(u64)(FALLOC_KEEP_SIZE | FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE)) return -EOPNOTSUPP;
  if (a[1] & FALLOC_PUNCH_HOLE) return a[1] & FALLOC_KEEP_SIZE ? tmpfs_punch(file, at, n) : -EOPNOTSUPP;
  i64 result = tmpfs_reserve(file, end, a[1] & FALLOC_KEEP_SIZE);
  return result || !(a[1] & FALLOC_ZERO_RANGE) ? result : tmpfs_punch(file, at, n);
}

i64 sys_memfd_create(const u64 *a) {
  enum { MFD_CLOEXEC = 1, MFD_ALLOW_SEALING = 2, MFD_NOEXEC_SEAL = 8, MFD_EXEC = 16 };
  char name[250];
  i64 length = copy_string(a[0], name, sizeof name);
  if (length < 0) return length == -ENAMETOOLONG ? -EINVAL : length;
  if (a[1] & ~(u64)(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC)) return -EINVAL;
  return descriptor_new(tmpfs_unnamed(2), 0, a[1] & MFD_CLOEXEC);
}

i64 sys_ftruncate(const u64 *a) {
  struct file *file = file_of(a[0]);
  if (!file) return -EBADF;
  if ((i64)a[1] < 0 || !file->operations->truncate || !(file->flags & O_ACCMODE)) return -EINVAL;
  return file->operations->truncate(file, a[1]);
}
