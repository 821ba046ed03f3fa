/* What is written about a file: mode, owner, times. Kept on the memory file systems, and enforced nowhere: there is one
 * user, and it may do everything. */
#ifndef ATTRIBUTES_H
#define ATTRIBUTES_H

#include "base.h"

i64 sys_chmod(const u64 *a);
i64 sys_fchmod(const u64 *a);
i64 sys_fchmodat(const u64 *a);
i64 sys_chown(const u64 *a);
i64 sys_lchown(const u64 *a);
i64 sys_fchown(const u64 *a);
i64 sys_fchownat(const u64 *a);
i64 sys_utime(const u64 *a);
i64 sys_utimes(const u64 *a);
i64 sys_utimensat(const u64 *a);
i64 sys_no_attributes(const u64 *a);

#endif
