#include "itimers.h"

#include "memory.h"
#include "signals.h"
#include "time.h"

enum { ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF, TIMERS };

static struct itimer {
  i64 deadline, interval;
  i64 (*clock)(void);
  u64 signal;
} timers[TIMERS] = {
    [ITIMER_REAL] = {FOREVER, 0, monotonic, SIGALRM},
    [ITIMER_VIRTUAL] = {FOREVER, 0, process_time, SIGVTALRM},
    [ITIMER_PROF] = {FOREVER, 0, process_time, SIGPROF},
};

i64 timer_deadline(void) { return timers[ITIMER_REAL].deadline; }

bool timers_armed(void) {
  for (int i = 0; i < TIMERS; i++)
    if (timers[i].deadline != FOREVER) return true;
  return false;
}

void timers_check(void) {
  for (struct itimer *t = timers; t < timers + TIMERS; t++) {
    if (t->deadline == FOREVER) continue;
    i64 now = t->clock();
    if (now < t->deadline) continue;
    t->deadline = t->interval ? now + t->interval : FOREVER;
    signal_post(t->signal);
  }
}

static i64 remaining(const struct itimer *t) {
  if (t->deadline == FOREVER) return 0;
  i64 left = t->deadline - t->clock();
  return left > 1000 ? left : 1000; /* an armed timer never says 0 */
}

i64 sys_alarm(const u64 *a) {
  struct itimer *t = &timers[ITIMER_REAL];
  i64 left = remaining(t);
  t->interval = 0;
  t->deadline = (u32)a[0] ? monotonic() + (i64)(u32)a[0] * NANOSECONDS : FOREVER;
  return (left + NANOSECONDS - 1) / NANOSECONDS;
}

static i64 write_itimer(const struct itimer *t, u64 address) {
  if (!may_write(address, 32)) return -EFAULT;
  i64 *out = (i64 *)address, left = remaining(t);
  out[0] = t->interval / NANOSECONDS;
  out[1] = t->interval % NANOSECONDS / 1000;
  out[2] = left / NANOSECONDS;
  out[3] = left % NANOSECONDS / 1000;
  return 0;
}

i64 sys_getitimer(const u64 *a) { return a[0] >= TIMERS ? -EINVAL : write_itimer(&timers[a[0]], a[1]); }

i64 sys_setitimer(const u64 *a) {
  if (a[0] >= TIMERS) return -EINVAL;
  struct itimer *t = &timers[a[0]];
  i64 values[4] = {0};
  if (a[1]) {
    if (!may_read(a[1], 32)) return -EFAULT;
    memcpy(values, (const void *)a[1], sizeof values);
  }
  for (int i = 0; i < 4; i++)
    if (values[i] < 0 || values[i] > (i % 2 ? 999999 : 1L << 32)) return -EINVAL;
  if (a[2]) {
    i64 result = write_itimer(t, a[2]);
    if (result) return result;
  }
  i64 first = values[2] * NANOSECONDS + values[3] * 1000;
  t->interval = values[0] * NANOSECONDS + values[1] * 1000;
  t->deadline = first ? t->clock() + first : FOREVER;
  return 0;
}
