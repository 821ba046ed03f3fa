/* The memory file systems: on /tmp, and where else the image says that the application may write.
 *
 * What they hold lives until the guest ends. Together they take at most half of the memory. What the image has below
 * such a place is there when the guest starts, and is copied when it is first changed. */
#ifndef TMPFS_H
#define TMPFS_H

#include "files.h"

void tmpfs_start(void);
bool tmpfs_owns(const char *path);
const char *tmpfs_mount(u64 i); /* the path of the i-th memory file system, 0 past the last one */
u64 tmpfs_limit(void);          /* pages */
u64 tmpfs_room(void);
u64 tmpfs_used(void);

/* Each takes an absolute path, free of links but for its last part, that tmpfs owns. */
u32 tmpfs_mode(const char *path, char *target); /* 0: nothing is there. `target`: where a link leads, PATH_ROOM octets */
i64 tmpfs_open(const char *path, u32 flags, u32 mode, struct file **file);
i64 tmpfs_stat(const char *path, struct stat *stat);
i64 tmpfs_make_directory(const char *path, u32 mode);
i64 tmpfs_symlink(const char *path, const char *target);
i64 tmpfs_link(const char *from, const char *to);
i64 tmpfs_remove(const char *path, bool directory);
i64 tmpfs_rename(const char *from, const char *to, u64 flags);
i64 tmpfs_chmod(const char *path, u32 mode);
i64 tmpfs_chown(const char *path, u32 user, u32 group); /* ~0: leave */
i64 tmpfs_touch(const char *path, const i64 *times); /* access and modification in nanoseconds; LEAVE_TIME: leave */
#define LEAVE_TIME INT64_MIN

/* The same of an open file. */
bool tmpfs_has(struct file *file);
i64 tmpfs_fchmod(struct file *file, u32 mode);
i64 tmpfs_fchown(struct file *file, u32 user, u32 group);
i64 tmpfs_ftouch(struct file *file, const i64 *times);
i64 tmpfs_path(struct file *file, char *path); /* of what has no name any more: with " (deleted)" behind */
struct file *tmpfs_reopen(struct file *file, u32 flags);
struct file *tmpfs_unnamed(u32 flags); /* memfd_create */
i64 tmpfs_reserve(struct file *file, u64 size, bool keep_size);
i64 tmpfs_punch(struct file *file, u64 at, u64 n);

/* Shared maps. The pages of the file are the map: the address of one is that of the other. A file's pages that are
 * mapped neither move nor go before `tmpfs_unmap`. -ENOMEM when they do not lie one after the other and cannot be
 * brought together, because some are mapped already. */
i64 tmpfs_map(struct file *file, u64 offset, u64 pages);
void tmpfs_unmap(struct file *file, u64 address);

#endif
