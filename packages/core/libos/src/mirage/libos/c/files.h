/* Open files: descriptors, what a kind of file can do, reading and writing. Names are in names.h. */
#ifndef FILES_H
#define FILES_H

#include "base.h"

enum { PATH_ROOM = 1024, DESCRIPTORS = 1024 };

enum { S_IFMT = 0170000, S_IFIFO = 0010000, S_IFCHR = 0020000, S_IFDIR = 0040000, S_IFBLK = 0060000, S_IFREG = 0100000,
       S_IFLNK = 0120000, S_IFSOCK = 0140000 };
enum { O_ACCMODE = 3, O_CREAT = 0100, O_EXCL = 0200, O_TRUNC = 01000, O_APPEND = 02000, O_NONBLOCK = 04000,
       O_DIRECTORY = 0200000, O_NOFOLLOW = 0400000, O_CLOEXEC = 02000000, O_TMPFILE = 020200000 };
enum { AT_FDCWD = -100, AT_SYMLINK_NOFOLLOW = 0x100, AT_REMOVEDIR = 0x200, AT_SYMLINK_FOLLOW = 0x400,
       AT_EMPTY_PATH = 0x1000 };
/* st_dev of the image, the devices, /proc, and the first memory file system. */
enum { TREE_DEVICE = 1, DEVICES_DEVICE = 3, PROC_DEVICE = 4, TMPFS_DEVICE = 16 };
enum { POLL_IN = 1, POLL_OUT = 4, POLL_ERR = 8, POLL_HUP = 16, POLL_NVAL = 32 };

struct stat {
  u64 device, inode, links;
  u32 mode, user, group, padding;
  u64 real_device, size, block_size, blocks;
  u64 access, access_ns, modify, modify_ns, change, change_ns;
  u64 unused[3];
};
_Static_assert(sizeof(struct stat) == 144, "the kernel's struct stat");

struct file;
struct entry; /* tree.h */

/* One part of a vector, as readv and writev take it. */
struct part { u64 address, size; };

/* What a kind of file does; a missing operation is refused. Reads and writes never wait: they return -EAGAIN. */
struct operations {
  const char *name;
  u32 mode;
  i64 (*read)(struct file *file, u8 *to, u64 n, u64 at);
  i64 (*write)(struct file *file, const u8 *from, u64 n, u64 at);
  u32 (*ready)(struct file *file); /* POLL bits; missing: always readable and writable */
  void (*stat)(struct file *file, struct stat *stat);
  i64 (*truncate)(struct file *file, u64 size);
  i64 (*list)(struct file *file, u8 *to, u64 n);
  i64 (*control)(struct file *file, u64 request, u64 argument);
  /* Of files that keep messages apart: all parts are one message. Checks them, and waits unless the file is not to. */
  i64 (*message)(struct file *file, const struct part *parts, u64 count, bool writing);
  i64 (*sync)(struct file *file);
  void (*close)(struct file *file);
  i64 (*path)(struct file *file, char *path); /* what /proc/self/fd says of it, into PATH_ROOM octets */
  bool seekable;
};

/* An open file description: shared by the descriptors that `dup` made. */
struct file {
  const struct operations *operations;
  u64 references;
  u32 flags;
  u64 position;
  u64 number;              /* of a device */
  const struct entry *entry;
  void *object;            /* of tmpfs, pipes, polls */
  void *peer;
};

extern u64 descriptor_limit; /* RLIMIT_NOFILE */

struct file *file_of(u64 descriptor); /* 0 when it is not open */
struct file *file_new(const struct operations *operations, u32 flags);
void file_drop(struct file *file);
i64 descriptor_new(struct file *file, u64 lowest, bool close_on_exec); /* takes the reference, drops it on failure */

bool file_is_regular(struct file *file);
i64 file_stat(struct file *file, struct stat *stat); /* -EBADF for 0 */
/* Reads or writes at `at`, or at the file's position when that is negative; waits, unless the file is not to wait. */
i64 file_read(struct file *file, u64 to, u64 n, i64 at);
i64 file_write(struct file *file, u64 from, u64 n, i64 at);

/* Fills one record of getdents64; returns its length, 0 when there is no room. */
u64 directory_record(u8 *to, u64 room, u64 inode, u64 next, u32 mode, const char *name, u64 length);

i64 sys_read(const u64 *a);
i64 sys_write(const u64 *a);
i64 sys_pread64(const u64 *a);
i64 sys_pwrite64(const u64 *a);
i64 sys_readv(const u64 *a);
i64 sys_writev(const u64 *a);
i64 sys_preadv(const u64 *a);
i64 sys_pwritev(const u64 *a);
i64 sys_close(const u64 *a);
i64 sys_close_range(const u64 *a);
i64 sys_fstat(const u64 *a);
i64 sys_lseek(const u64 *a);
i64 sys_ioctl(const u64 *a);
i64 sys_dup(const u64 *a);
i64 sys_dup2(const u64 *a);
i64 sys_dup3(const u64 *a);
i64 sys_fcntl(const u64 *a);
i64 sys_flock(const u64 *a);
i64 sys_fsync(const u64 *a);
i64 sys_getdents64(const u64 *a);

#endif
