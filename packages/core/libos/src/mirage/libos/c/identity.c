#include "identity.h"

#include "files.h"
#include "memory.h"
#include "time.h"

i64 sys_getpid(const u64 *a) { return (void)a, 1; }
i64 sys_zero(const u64 *a) { return (void)a, 0; }
i64 sys_one(const u64 *a) { return (void)a, 1; }
i64 sys_no_child(const u64 *a) { return (void)a, -ECHILD; }
i64 sys_not_permitted(const u64 *a) { return (void)a, -EPERM; }

i64 sys_uname(const u64 *a) {
  enum { FIELD = 65 };
  static const char *const fields[] = {"Linux", "mirage", "6.1.0", "libos", "x86_64", ""};
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

/* The soft and the hard limit. New threads get RLIMIT_STACK octets of stack, all of them real memory. */
static i64 write_limit(u64 resource, u64 address) {
  enum { RLIMIT_STACK = 3, RLIMIT_CORE = 4, RLIMIT_NPROC = 6, RLIMIT_NOFILE = 7 };
  if (resource > 15) return -EINVAL;
  if (!may_write(address, 16)) return -EFAULT;
  u64 limit = ~0UL;
  if (resource == RLIMIT_STACK) limit = 1 << 20;
  if (resource == RLIMIT_CORE) limit = 0;
  if (resource == RLIMIT_NOFILE) limit = DESCRIPTORS;
  if (resource == RLIMIT_NPROC) limit = 1;
  ((u64 *)address)[0] = ((u64 *)address)[1] = limit;
  return 0;
}

i64 sys_getrlimit(const u64 *a) { return write_limit(a[0], a[1]); }

i64 sys_prlimit64(const u64 *a) {
  if (a[0] > 1) return -ESRCH;
  if (a[2]) return -EPERM;
  return a[3] ? write_limit(a[1], a[3]) : 0;
}

i64 sys_getresuid(const u64 *a) {
  for (int i = 0; i < 3; i++) {
    if (!may_write(a[i], 4)) return -EFAULT;
    *(u32 *)a[i] = 0;
  }
  return 0;
}
