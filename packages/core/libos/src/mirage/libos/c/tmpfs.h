/* The memory file system on /tmp: directories and files that live until the guest ends. */
#ifndef TMPFS_H
#define TMPFS_H

#include "files.h"

void tmpfs_start(void);
bool tmpfs_owns(const char *path);

/* Each takes an absolute, normal path that tmpfs owns. */
i64 tmpfs_open(const char *path, u32 flags, u32 mode, struct file **file);
i64 tmpfs_stat(const char *path, struct stat *stat);
i64 tmpfs_make_directory(const char *path, u32 mode);
i64 tmpfs_remove(const char *path, bool directory);
i64 tmpfs_rename(const char *from, const char *to);
i64 tmpfs_chmod(const char *path, u32 mode);
i64 tmpfs_touch(const char *path, const i64 *times); /* access and modification in nanoseconds; -1: leave */
bool tmpfs_is_directory(const char *path);

i64 tmpfs_fchmod(struct file *file, u32 mode);
i64 tmpfs_ftouch(struct file *file, const i64 *times);
bool tmpfs_has(struct file *file);
i64 tmpfs_path(struct file *file, char *path); /* of a directory, into PATH_ROOM octets */

#endif
