#include "identity.h"

#include "files.h"
#include "memory.h"
#include "threads.h"
#include "time.h"

i64 sys_getpid(const u64 *a) { return (void)a, 1; }
i64 sys_zero(const u64 *a) { return (void)a, 0; }
i64 sys_one(const u64 *a) { return (void)a, 1; }
i64 sys_no_child(const u64 *a) { return (void)a, -ECHILD; }
i64 sys_not_permitted(const u64 *a) { return (void)a, -EPERM; }

i64 sys_uname(const u64 *a) {
  enum { FIELD = 65 };
  static const char *const fields[] = {"Linux", "mirage", SYSTEM_RELEASE, "libos", "x86_64", ""};
  if (!may_write(a[0], 6 * FIELD)) return -EFAULT;
  memset((void *)a[0], 0, 6 * FIELD);
  for (int i = 0; i < 6; i++) memcpy((char *)a[0] + i * FIELD, fields[i], strlen(fields[i]));
  return 0;
}

i64 sys_sysinfo(const u64 *a) {
  if (!may_write(a[0], 112)) return -EFAULT;
  u64 *out = (u64 *)a[0];
  memset(out, 0, 112);
  out[0] = monotonic() / NANOSECONDS;
  out[4] = shared->boot.memory;
  out[5] = pages_free() * PAGE;
  ((u16 *)out)[40] = 1; /* processes */
  ((u32 *)out)[26] = 1; /* octets in a unit of memory */
  return 0;
}

/* There is one user: becoming it again (or staying, -1) succeeds. */
static bool is_root(u64 id) { return !(u32)id || (u32)id == ~0u; }
i64 sys_become_root(const u64 *a) { return is_root(a[0]) ? 0 : -EPERM; }
i64 sys_become_root_both(const u64 *a) { return is_root(a[0]) && is_root(a[1]) ? 0 : -EPERM; }

i64 sys_getpgid(const u64 *a) { return (u32)a[0] > 1 ? -ESRCH : 1; }

/* ---- Limits ------------------------------------------------------------------------------------------------------------ */

enum { RLIMIT_STACK = 3, RLIMIT_CORE = 4, RLIMIT_NPROC = 6, RLIMIT_NOFILE = 7, LIMITS = 16 };

struct limit { u64 soft, hard; };

/* New threads get RLIMIT_STACK octets of stack, all of them real memory. RLIMIT_NOFILE is enforced, RLIMIT_NPROC by the
 * table of threads, RLIMIT_CORE means nothing; of the others there is none, and none can be set. */
static struct limit limit_of(u64 resource) {
  static const struct limit none = {~0UL, ~0UL};
  switch (resource) {
    case RLIMIT_STACK: return (struct limit){1 << 20, ~0UL};
    case RLIMIT_CORE: return (struct limit){0, 0};
    case RLIMIT_NPROC: return (struct limit){THREADS, THREADS};
    case RLIMIT_NOFILE: return (struct limit){descriptor_limit, DESCRIPTORS};
    default: return none;
  }
}

static i64 write_limit(u64 resource, u64 address) {
  if (resource >= LIMITS) return -EINVAL;
  if (!may_write(address, 16)) return -EFAULT;
  *(struct limit *)address = limit_of(resource);
  return 0;
}

static i64 set_limit(u64 resource, u64 address) {
  if (resource >= LIMITS) return -EINVAL;
  if (!may_read(address, 16)) return -EFAULT;
  struct limit wanted = *(const struct limit *)address, has = limit_of(resource);
  if (wanted.soft > wanted.hard) return -EINVAL;
  if (wanted.hard > has.hard) return -EPERM;
  if (resource == RLIMIT_NOFILE && wanted.hard == has.hard) {
    descriptor_limit = wanted.soft;
    return 0;
  }
  return wanted.soft == has.soft && wanted.hard == has.hard ? 0 : -EPERM;
}

i64 sys_getrlimit(const u64 *a) { return write_limit(a[0], a[1]); }
i64 sys_setrlimit(const u64 *a) { return set_limit(a[0], a[1]); }

i64 sys_prlimit64(const u64 *a) {
  if (a[0] > 1) return -ESRCH;
  i64 result = a[3] ? write_limit(a[1], a[3]) : 0;
  return result || !a[2] ? result : set_limit(a[1], a[2]);
}

i64 sys_getresuid(const u64 *a) {
  for (int i = 0; i < 3; i++) {
    if (!may_write(a[i], 4)) return -EFAULT;
    *(u32 *)a[i] = 0;
  }
  return 0;
}
