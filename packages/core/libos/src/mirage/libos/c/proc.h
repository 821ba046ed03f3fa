/* /proc, as far as CPython and the C library read it, and the links of /dev that lead there. */
#ifndef PROC_H
#define PROC_H

#include "files.h"

/* Each takes an absolute path, free of links but for its last part. */
u32 proc_mode(const char *path, char *target); /* 0: nothing is there. `target`: where a link leads, PATH_ROOM octets */
i64 proc_open(const char *path, u32 flags, struct file **file); /* -ENOENT: nothing is there */
i64 proc_stat(const char *path, struct stat *stat);
/* Whether this is the link of an open file in /proc/1/fd; its number goes to `number`, as text. */
bool proc_descriptor(const char *path, char *number);

#endif
