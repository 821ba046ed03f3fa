/* Open files and the names that lead to them.
 *
 * A name is made absolute and free of `.` and `..` as text (there are no symbolic links), then looked up: below /tmp in
 * the memory file system (tmpfs.h), below /dev and /proc among the devices (devices.h), else in the image's tree. */
#ifndef FILES_H
#define FILES_H

#include "base.h"

enum { PATH_ROOM = 1024, DESCRIPTORS = 256 };

enum { S_IFMT = 0170000, S_IFIFO = 0010000, S_IFCHR = 0020000, S_IFDIR = 0040000, S_IFBLK = 0060000, S_IFREG = 0100000,
       S_IFSOCK = 0140000 };
enum { O_ACCMODE = 3, O_CREAT = 0100, O_EXCL = 0200, O_TRUNC = 01000, O_APPEND = 02000, O_NONBLOCK = 04000,
       O_DIRECTORY = 0200000, O_CLOEXEC = 02000000, O_TMPFILE = 020200000 };
enum { POLL_IN = 1, POLL_OUT = 4, POLL_ERR = 8, POLL_HUP = 16, POLL_NVAL = 32 };

/* One file or directory of the image, as the builder writes it. Sorted by path. */
struct entry {
  u32 path, path_length; /* in the strings; no NUL */
  u32 mode, flags;
  u32 child, next; /* of a directory: its first entry; the next one of the same directory; NO_ENTRY at the end */
  u64 size, data;  /* address */
  u64 mtime;       /* nanoseconds */
};
enum { ENTRY_LAID_OUT = 1 }; /* a shared library, segments at their final places */
#define NO_ENTRY 0xffffffffu

struct stat {
  u64 device, inode, links;
  u32 mode, user, group, padding;
  u64 real_device, size, block_size, blocks;
  u64 access, access_ns, modify, modify_ns, change, change_ns;
  u64 unused[3];
};
_Static_assert(sizeof(struct stat) == 144, "the kernel's struct stat");

struct file;

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

void files_start(void);

struct file *file_of(u64 descriptor); /* 0 when it is not open */
struct file *file_new(const struct operations *operations, u32 flags);
void file_drop(struct file *file);
i64 descriptor_new(struct file *file, u64 lowest, bool close_on_exec); /* takes the reference, drops it on failure */

bool file_is_regular(struct file *file);
/* The address of a shared library that lies in the image; 0 when it is none; -ENOMEM when it was mapped before. */
i64 file_laid_out(struct file *file, u64 offset);
/* The address of a page-aligned part of an image file, 0 when it must be copied. */
u64 file_in_place(struct file *file, u64 offset, u64 n);
void file_copy(struct file *file, void *to, u64 n, u64 offset);

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
i64 sys_open(const u64 *a);
i64 sys_openat(const u64 *a);
i64 sys_close(const u64 *a);
i64 sys_close_range(const u64 *a);
i64 sys_stat(const u64 *a);
i64 sys_fstat(const u64 *a);
i64 sys_newfstatat(const u64 *a);
i64 sys_lseek(const u64 *a);
i64 sys_ioctl(const u64 *a);
i64 sys_access(const u64 *a);
i64 sys_faccessat(const u64 *a);
i64 sys_dup(const u64 *a);
i64 sys_dup2(const u64 *a);
i64 sys_dup3(const u64 *a);
i64 sys_fcntl(const u64 *a);
i64 sys_flock(const u64 *a);
i64 sys_fsync(const u64 *a);
i64 sys_truncate(const u64 *a);
i64 sys_ftruncate(const u64 *a);
i64 sys_getdents64(const u64 *a);
i64 sys_getcwd(const u64 *a);
i64 sys_chdir(const u64 *a);
i64 sys_fchdir(const u64 *a);
i64 sys_rename(const u64 *a);
i64 sys_renameat(const u64 *a);
i64 sys_mkdir(const u64 *a);
i64 sys_mkdirat(const u64 *a);
i64 sys_rmdir(const u64 *a);
i64 sys_unlink(const u64 *a);
i64 sys_unlinkat(const u64 *a);
i64 sys_readlink(const u64 *a);
i64 sys_readlinkat(const u64 *a);
i64 sys_chmod(const u64 *a);
i64 sys_fchmod(const u64 *a);
i64 sys_fchmodat(const u64 *a);
i64 sys_utimensat(const u64 *a);
i64 sys_umask(const u64 *a);
i64 sys_statfs(const u64 *a);
i64 sys_symlink(const u64 *a);
i64 sys_link(const u64 *a);

#endif
