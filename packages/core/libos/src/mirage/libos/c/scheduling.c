#include "scheduling.h"

#include "memory.h"
#include "threads.h"
#include "time.h"

enum { SCHED_OTHER = 0, SCHED_FIFO = 1, SCHED_RR = 2, SCHED_IDLE = 5, TURN = 2000000 };

static i64 known(u64 id) {
  if ((i32)id < 0) return -EINVAL;
  return (u32)id <= 1 || thread_by_id((u32)id) ? 0 : -ESRCH;
}

i64 sys_getpriority(const u64 *a) { return a[0] > 2 ? -EINVAL : 20; /* nice 0, as the kernel says it */ }
i64 sys_setpriority(const u64 *a) { return a[0] > 2 ? -EINVAL : (i32)a[2] ? -EPERM : 0; }

i64 sys_sched_getscheduler(const u64 *a) {
  i64 result = known(a[0]);
  return result ? result : SCHED_OTHER;
}

i64 sys_sched_getparam(const u64 *a) {
  i64 result = known(a[0]);
  if (result || !a[1]) return result ? result : -EINVAL;
  if (!may_write(a[1], 4)) return -EFAULT;
  *(i32 *)a[1] = 0;
  return 0;
}

/* The one policy and its one priority may be asked for again. */
static i64 set(u64 id, u64 policy, u64 address) {
  i64 result = known(id);
  if (result || !address) return result ? result : -EINVAL;
  if (!may_read(address, 4)) return -EFAULT;
  if (policy > SCHED_IDLE) return -EINVAL;
  if (policy != SCHED_OTHER) return -EPERM;
  return *(const i32 *)address ? -EINVAL : 0;
}

i64 sys_sched_setparam(const u64 *a) { return set(a[0], SCHED_OTHER, a[1]); }
i64 sys_sched_setscheduler(const u64 *a) { return set(a[0], a[1], a[2]); }

static bool real_time(u64 policy) { return policy == SCHED_FIFO || policy == SCHED_RR; }

i64 sys_sched_get_priority_max(const u64 *a) { return a[0] > SCHED_IDLE ? -EINVAL : real_time(a[0]) ? 99 : 0; }
i64 sys_sched_get_priority_min(const u64 *a) { return a[0] > SCHED_IDLE ? -EINVAL : real_time(a[0]); }

i64 sys_sched_rr_get_interval(const u64 *a) {
  i64 result = known(a[0]);
  return result ? result : write_timespec(a[1], TURN);
}

/* There is one processor, and it must be in the set. */
i64 sys_sched_setaffinity(const u64 *a) {
  i64 result = known(a[0]);
  if (result) return result;
  if (!a[1] || !may_read(a[2], a[1])) return a[1] ? -EFAULT : -EINVAL;
  return *(const u8 *)a[2] & 1 ? 0 : -EINVAL;
}

i64 sys_getcpu(const u64 *a) {
  for (int i = 0; i < 2; i++) {
    if (!a[i]) continue;
    if (!may_write(a[i], 4)) return -EFAULT;
    *(u32 *)a[i] = 0;
  }
  return 0;
}
