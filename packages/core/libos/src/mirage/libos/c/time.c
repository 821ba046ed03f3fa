#include "time.h"

#include "memory.h"
#include "signals.h"
#include "threads.h"

static i64 since_start(void) {
  u64 factor = (1000000UL << 32) / shared->boot.tsc_khz; /* another one after a snapshot has moved */
  u32 low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  u64 ticks = ((u64)high << 32 | low) - shared->boot.tsc_start;
  return (i64)(((unsigned __int128)ticks * factor) >> 32);
}

static i64 started;

void time_start(void) { started = monotonic(); }

i64 monotonic(void) { return shared->boot.monotonic + since_start(); }
i64 realtime(void) { return shared->boot.realtime + since_start(); }

i64 started_at(void) { return started; }
i64 process_time(void) { return monotonic() - started - idle_time(); }

i64 read_timespec(u64 address) {
  if (!may_read(address, 16)) return -EFAULT;
  const i64 *t = (const i64 *)address;
  if (t[0] < 0 || t[1] < 0 || t[1] >= NANOSECONDS) return -EINVAL;
  return t[0] > FOREVER / NANOSECONDS - 1 ? FOREVER : t[0] * NANOSECONDS + t[1];
}

i64 write_timespec(u64 address, i64 nanoseconds) {
  if (!may_write(address, 16)) return -EFAULT;
  ((i64 *)address)[0] = nanoseconds / NANOSECONDS;
  ((i64 *)address)[1] = nanoseconds % NANOSECONDS;
  return 0;
}

enum { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS, CLOCK_THREAD, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE,
       CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME, CLOCK_TAI = 11 };

/* The time on one of Linux's clocks; -EINVAL for those that the guest lacks. */
static i64 read_clock(u64 clock) {
  if ((i32)clock < 0 && (clock & 7) == 6) { /* of one thread: its number, inverted, and the kind */
    struct thread *thread = thread_by_id(~((i32)clock >> 3));
    return thread ? thread_time(thread) : -EINVAL;
  }
  switch ((i32)clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_TAI: return realtime();
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME: return monotonic();
    case CLOCK_PROCESS: return process_time();
    case CLOCK_THREAD: return thread_time(current);
    default: return -EINVAL;
  }
}

i64 sys_clock_gettime(const u64 *a) {
  i64 now = read_clock(a[0]);
  return now < 0 ? now : write_timespec(a[1], now);
}

i64 sys_clock_getres(const u64 *a) {
  if (read_clock(a[0]) < 0) return -EINVAL;
  return a[1] ? write_timespec(a[1], 1) : 0;
}

i64 sys_clock_settime(const u64 *a) { return (void)a, -EPERM; }

static i64 sleep_until(i64 deadline, u64 remaining) {
  i64 result = wait_until(0, 0, deadline);
  if (result == -ETIMEDOUT) return 0;
  i64 left = deadline - monotonic();
  if (result == -EINTR && remaining) write_timespec(remaining, left > 0 ? left : 0);
  return result;
}

static i64 later(i64 duration) {
  i64 now = monotonic();
  return duration > FOREVER - now ? FOREVER : now + duration;
}

i64 sys_nanosleep(const u64 *a) {
  i64 duration = read_timespec(a[0]);
  return duration < 0 ? duration : sleep_until(later(duration), a[1]);
}

i64 sys_clock_nanosleep(const u64 *a) {
  i64 now = read_clock(a[0]), time = read_timespec(a[2]);
  if (now < 0) return now;
  if (time < 0) return time;
  if (!(a[1] & 1)) return sleep_until(later(time), a[3]);
  return sleep_until(later(time > now ? time - now : 0), 0);
}

i64 sys_gettimeofday(const u64 *a) {
  i64 now = realtime();
  if (!a[0]) return 0;
  if (!may_write(a[0], 16)) return -EFAULT;
  ((i64 *)a[0])[0] = now / NANOSECONDS;
  ((i64 *)a[0])[1] = now % NANOSECONDS / 1000;
  return 0;
}

i64 sys_time(const u64 *a) {
  i64 now = realtime() / NANOSECONDS;
  if (!a[0]) return now;
  if (!may_write(a[0], 8)) return -EFAULT;
  return *(i64 *)a[0] = now;
}

i64 sys_times(const u64 *a) {
  i64 busy = process_time() / 10000000;
  if (a[0]) {
    if (!may_write(a[0], 32)) return -EFAULT;
    memset((void *)a[0], 0, 32);
    *(i64 *)a[0] = busy;
  }
  return monotonic() / 10000000;
}

i64 sys_getrusage(const u64 *a) {
  if (!may_write(a[1], 144)) return -EFAULT;
  i64 *out = (i64 *)a[1];
  i64 busy = (i32)a[0] == 1 ? thread_time(current) : process_time();
  memset(out, 0, 144);
  if ((i32)a[0] == -1) return 0; /* there are no children */
  out[0] = busy / NANOSECONDS;
  out[1] = busy % NANOSECONDS / 1000;
  out[4] = (shared->boot.memory / PAGE - pages_free()) * 4;
  return 0;
}
