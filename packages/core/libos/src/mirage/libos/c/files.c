#include "files.h"

#include "memory.h"
#include "poll.h"

static struct pool file_pool = {sizeof(struct file), 0};
static struct { struct file *file; bool close_on_exec; } descriptors[DESCRIPTORS];

u64 descriptor_limit = DESCRIPTORS;

/* ---- Descriptors --------------------------------------------------------------------------------------------------- */

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
  for (u64 i = lowest; i < descriptor_limit; i++)
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
  if (!file || a[1] >= descriptor_limit) return -EBADF;
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
      return a[2] >= descriptor_limit ? -EINVAL : duplicate(a[0], a[2], a[1] == F_DUPFD_CLOEXEC);
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

/* ---- Looking --------------------------------------------------------------------------------------------------------- */

i64 file_stat(struct file *file, struct stat *stat) {
  if (!file) return -EBADF;
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

i64 sys_fstat(const u64 *a) {
  struct file *file = file_of(a[0]);
  if (!file) return -EBADF;
  return may_write(a[1], sizeof(struct stat)) ? file_stat(file, (struct stat *)a[1]) : -EFAULT;
}

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

bool file_is_regular(struct file *file) {
  struct stat stat;
  if (!file->operations->stat) return false;
  file->operations->stat(file, &stat);
  return (stat.mode & S_IFMT) == S_IFREG;
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

i64 file_read(struct file *file, u64 to, u64 n, i64 at) {
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

i64 file_write(struct file *file, u64 from, u64 n, i64 at) {
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
  return file ? file_read(file, a[1], a[2], -1) : -EBADF;
}

i64 sys_write(const u64 *a) {
  struct file *file = file_of(a[0]);
  return file ? file_write(file, a[1], a[2], -1) : -EBADF;
}

i64 sys_pread64(const u64 *a) {
  struct file *file = file_of(a[0]);
  if (!file) return -EBADF;
  return (i64)a[3] < 0 ? -EINVAL : file_read(file, a[1], a[2], a[3]);
}

i64 sys_pwrite64(const u64 *a) {
  struct file *file = file_of(a[0]);
  if (!file) return -EBADF;
  return (i64)a[3] < 0 ? -EINVAL : file_write(file, a[1], a[2], a[3]);
}

static i64 vector(const u64 *a, i64 at, i64 (*one)(struct file *, u64, u64, i64)) {
  struct file *file = file_of(a[0]);
  if (!file) return -EBADF;
  if (a[2] > 1024) return -EINVAL;
  if (!may_read(a[1], a[2] * 16)) return -EFAULT;
  if (file->operations->message)
    return at < 0 ? file->operations->message(file, (const struct part *)a[1], a[2], one == file_write) : -ESPIPE;
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

i64 sys_readv(const u64 *a) { return vector(a, -1, file_read); }
i64 sys_writev(const u64 *a) { return vector(a, -1, file_write); }
i64 sys_preadv(const u64 *a) { return (i64)a[3] < 0 ? -EINVAL : vector(a, a[3], file_read); }
i64 sys_pwritev(const u64 *a) { return (i64)a[3] < 0 ? -EINVAL : vector(a, a[3], file_write); }

i64 sys_lseek(const u64 *a) {
  struct file *file = file_of(a[0]);
  if (!file) return -EBADF;
  if (!file->operations->seekable) return -ESPIPE;
  i64 base = a[2] == 0 ? 0 : a[2] == 1 ? (i64)file->position : a[2] == 2 ? (i64)size_of(file) : -1;
  if (base < 0) return -EINVAL;
  i64 position;
  if (__builtin_add_overflow(base, (i64)a[1], &position) || position < 0) return -EINVAL;
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

i64 sys_flock(const u64 *a) { return file_of(a[0]) ? 0 : -EBADF; }

i64 sys_fsync(const u64 *a) {
  struct file *file = file_of(a[0]);
  if (!file) return -EBADF;
  return file->operations->sync ? file->operations->sync(file) : 0;
}

