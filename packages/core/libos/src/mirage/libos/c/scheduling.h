/* Scheduling as far as it can be asked for: one processor, one policy, turns of equal length. */
#ifndef SCHEDULING_H
#define SCHEDULING_H

#include "base.h"

i64 sys_getpriority(const u64 *a);
i64 sys_setpriority(const u64 *a);
i64 sys_sched_setparam(const u64 *a);
i64 sys_sched_getparam(const u64 *a);
i64 sys_sched_setscheduler(const u64 *a);
i64 sys_sched_getscheduler(const u64 *a);
i64 sys_sched_get_priority_max(const u64 *a);
i64 sys_sched_get_priority_min(const u64 *a);
i64 sys_sched_rr_get_interval(const u64 *a);
i64 sys_sched_setaffinity(const u64 *a);
i64 sys_getcpu(const u64 *a);

#endif
