/* Moving octets between files without the application's memory, and room in files. */
#ifndef TRANSFER_H
#define TRANSFER_H

#include "base.h"

i64 sys_sendfile(const u64 *a);
i64 sys_copy_file_range(const u64 *a);
i64 sys_fallocate(const u64 *a);
i64 sys_memfd_create(const u64 *a);
i64 sys_ftruncate(const u64 *a);

#endif
