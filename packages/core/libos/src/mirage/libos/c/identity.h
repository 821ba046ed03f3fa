/* Who and what the guest says it is: process, user, system, limits. */
#ifndef IDENTITY_H
#define IDENTITY_H

#include "base.h"

#define SYSTEM_RELEASE "6.1.0"

i64 sys_getpid(const u64 *a);
i64 sys_zero(const u64 *a);
i64 sys_one(const u64 *a);
i64 sys_no_child(const u64 *a);
i64 sys_not_permitted(const u64 *a);
i64 sys_uname(const u64 *a);
i64 sys_sysinfo(const u64 *a);
i64 sys_getrlimit(const u64 *a);
i64 sys_setrlimit(const u64 *a);
i64 sys_become_root(const u64 *a);
i64 sys_become_root_both(const u64 *a);
i64 sys_getpgid(const u64 *a);
i64 sys_prlimit64(const u64 *a);
i64 sys_getresuid(const u64 *a);

#endif
