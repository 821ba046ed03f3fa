/* Memory as the application sees it: maps of files, anonymous memory, protections. */
#ifndef MAPS_H
#define MAPS_H

#include "base.h"

i64 sys_mmap(const u64 *a);
i64 sys_mprotect(const u64 *a);
i64 sys_munmap(const u64 *a);
i64 sys_mremap(const u64 *a);
i64 sys_madvise(const u64 *a);
i64 sys_msync(const u64 *a);
i64 sys_mincore(const u64 *a);
i64 sys_mlock(const u64 *a);

#endif
