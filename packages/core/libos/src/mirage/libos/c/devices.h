/* Character devices below /dev, and what CPython reads below /proc. */
#ifndef DEVICES_H
#define DEVICES_H

#include "files.h"

void devices_start(void); /* opens descriptors 0, 1 and 2 on the console */
i64 device_open(const char *path, u32 flags, struct file **file); /* -ENOENT when there is none */

/* Random octets: RDRAND mixed with what the host gave, by ChaCha20. */
void random_fill(u8 *to, u64 n);

i64 sys_getrandom(const u64 *a);

#endif
