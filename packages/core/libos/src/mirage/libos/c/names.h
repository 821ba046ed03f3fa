/* Names: what a path leads to, and the system calls that take one.
 *
 * `resolve` makes a name absolute and free of `.`, `..` and symbolic links. What comes out is looked up in the memory
 * file systems (tmpfs.h), below /proc (proc.h), below /dev (devices.h), and else in the image's tree (tree.h). A result
 * that does not begin with `/` is the number of an open file: where a link in /proc/self/fd led. */
#ifndef NAMES_H
#define NAMES_H

#include "files.h"

/* `follow`: a symbolic link at the end is followed too. The last component need not exist. `path` has PATH_ROOM octets. */
i64 resolve(i64 directory, u64 name, bool follow, char *path);
i64 stat_path(const char *path, struct stat *stat);
i64 open_path(const char *path, u64 flags, u32 mode); /* a descriptor */
/* The path of an open file, for people: 0, or an error. */
i64 name_of(struct file *file, char *path);
const char *working_directory(void);

i64 sys_open(const u64 *a);
i64 sys_openat(const u64 *a);
i64 sys_creat(const u64 *a);
i64 sys_stat(const u64 *a);
i64 sys_lstat(const u64 *a);
i64 sys_newfstatat(const u64 *a);
i64 sys_access(const u64 *a);
i64 sys_faccessat(const u64 *a);
i64 sys_faccessat2(const u64 *a);
i64 sys_getcwd(const u64 *a);
i64 sys_chdir(const u64 *a);
i64 sys_fchdir(const u64 *a);
i64 sys_truncate(const u64 *a);
i64 sys_rename(const u64 *a);
i64 sys_renameat(const u64 *a);
i64 sys_renameat2(const u64 *a);
i64 sys_mkdir(const u64 *a);
i64 sys_mkdirat(const u64 *a);
i64 sys_rmdir(const u64 *a);
i64 sys_unlink(const u64 *a);
i64 sys_unlinkat(const u64 *a);
i64 sys_symlink(const u64 *a);
i64 sys_symlinkat(const u64 *a);
i64 sys_link(const u64 *a);
i64 sys_linkat(const u64 *a);
i64 sys_readlink(const u64 *a);
i64 sys_readlinkat(const u64 *a);
i64 sys_statfs(const u64 *a);
i64 sys_fstatfs(const u64 *a);
i64 sys_umask(const u64 *a);

#endif
