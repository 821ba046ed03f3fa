#include "threads.h"

#include "entry.h"
#include "hostdev.h"
#include "itimers.h"
#include "memory.h"
#include "poll.h"
#include "signals.h"
#include "time.h"

struct thread *current;
u64 extended_mask;

static struct thread *threads[THREADS];
static u64 thread_count; /* entries of `threads` that have ever been used */
static u64 alive;
static u32 last_id;
static u64 queue;        /* the next place in any futex queue */
static i64 idle;
static bool ticking;
static u32 idle_ticks;

_Static_assert(__builtin_offsetof(struct thread, state) == THREAD_STATE_AT, "layout.h");
_Static_assert(__builtin_offsetof(struct thread, id) == THREAD_ID_AT, "layout.h");
_Static_assert(__builtin_offsetof(struct thread, stack_top) == THREAD_TOP_AT, "layout.h");
_Static_assert(__builtin_offsetof(struct thread, fs) == THREAD_FS_AT, "layout.h");

enum { TICK_MICROSECONDS = 2000, IDLE_TICKS = 25 };

/* ---- Making and switching --------------------------------------------------------------------------------------------- */

static struct thread *thread_new(void) {
  for (u64 i = 0; i < thread_count; i++)
    if (threads[i]->state == THREAD_FREE) return threads[i];
  if (thread_count == THREADS) return 0;
  u64 pages = pages_of(sizeof(struct thread)) + THREAD_STACK / PAGE;
  u64 base = pages_take(pages);
  if (!base) return 0;
  struct thread *thread = (struct thread *)base;
  thread->slot = thread_count;
  thread->stack_top = base + pages * PAGE;
  threads[thread_count++] = thread;
  return thread;
}

void threads_start(void) {
  u32 low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  extended_mask = low & 0xe7; /* x87, SSE, AVX, AVX-512: 2,688 octets at most */
  current = thread_new();
  current->id = ++last_id;
  current->started = monotonic();
  current->state = THREAD_READY;
  current->deadline = FOREVER;
  alive = 1;
  shared->stack = current->stack_top;
  extended_save(current->extended);
}

struct thread *thread_at(u64 i) { return i < thread_count ? threads[i] : 0; }

struct thread *thread_by_id(u64 id) {
  for (u64 i = 0; i < thread_count; i++)
    if (threads[i]->id == id && threads[i]->state != THREAD_FREE) return threads[i];
  return 0;
}

static void switch_to(struct thread *next) {
  struct thread *before = current;
  if (next == before) return;
  i64 now = monotonic();
  before->ran += now - before->started;
  next->started = now;
  if (before->state != THREAD_FREE) {
    extended_save(before->extended);
    __asm__ volatile("rdfsbase %0" : "=r"(before->fs));
  }
  current = next;
  shared->stack = next->stack_top;
  __asm__ volatile("wrfsbase %0" ::"r"(next->fs));
  extended_restore(next->extended);
  switch_stacks(&before->stack_pointer, next->stack_pointer);
}

/* The next ready thread after the current one, having woken those whose time has come. */
static struct thread *next_ready(i64 *soonest) {
  i64 now = monotonic();
  struct thread *found = 0;
  u64 here = current->slot;
  *soonest = timer_deadline();
  if (timerfd_deadline() < *soonest) *soonest = timerfd_deadline();
  for (u64 k = 1; k <= thread_count; k++) {
    struct thread *thread = threads[(here + k) % thread_count];
    if (thread->state >= THREAD_FUTEX && thread->deadline <= now) {
      thread->timed_out = true;
      thread->state = THREAD_READY;
    }
    if (thread->state == THREAD_READY && !found) found = thread;
    if (thread->state >= THREAD_FUTEX && thread->deadline < *soonest) *soonest = thread->deadline;
  }
  return found;
}

/* What may have happened outside: signals from the host, the timer, devices. */
static void look_outside(void) {
  net_looked();
  signals_from_host();
  timers_check();
  wake_pollers();
}

/* Gives the processor away; returns when this thread is ready and its turn has come. */
static void schedule(void) {
  for (;;) {
    i64 soonest;
    struct thread *next = next_ready(&soonest);
    if (next) {
      switch_to(next);
      return;
    }
    i64 before = monotonic();
    i64 left = soonest == FOREVER ? -1 : soonest > before ? soonest - before : 0;
    hypercall(CALL_WAIT, left, 0, 0);
    i64 span = monotonic() - before;
    idle += span;
    current->started += span; /* it did not run */
    look_outside();
  }
}

i64 idle_time(void) { return idle; }

i64 thread_time(struct thread *thread) {
  return thread->ran + (thread == current ? monotonic() - thread->started : 0);
}

/* ---- Waiting ----------------------------------------------------------------------------------------------------------- */

static i64 wait(enum thread_state state, i64 deadline) {
  if (signal_waiting()) return -EINTR;
  current->deadline = deadline;
  current->timed_out = current->interrupted = false;
  current->state = state;
  schedule();
  current->deadline = FOREVER;
  if (current->interrupted) return -EINTR;
  return current->timed_out ? -ETIMEDOUT : 0;
}

i64 wait_until(bool (*done)(void *), void *argument, i64 deadline) {
  for (;;) {
    if (done && done(argument)) return 0;
    i64 result = wait(THREAD_POLL, deadline);
    if (result == -ETIMEDOUT && done && done(argument)) return 0;
    if (result) return result;
  }
}

void wake_pollers(void) {
  for (u64 i = 0; i < thread_count; i++)
    if (threads[i]->state == THREAD_POLL) threads[i]->state = THREAD_READY;
}

void thread_interrupt(struct thread *thread) {
  if (thread->state < THREAD_FUTEX) return;
  thread->interrupted = true;
  thread->state = THREAD_READY;
}

void yield(void) { schedule(); }

/* Whether the current thread must not run on undisturbed. */
static bool others_wait(void) {
  if (timers_armed()) return true;
  for (u64 i = 0; i < thread_count; i++) {
    struct thread *thread = threads[i];
    if (thread == current || thread->state == THREAD_FREE) continue;
    if (thread->state != THREAD_FUTEX || thread->deadline != FOREVER) return true;
  }
  return false;
}

void yield_if_asked(void) {
  bool asked = shared->pending;
  if (asked) {
    shared->pending = 0;
    look_outside();
    yield();
  }
  if (!ticking && (net_unsent() || (alive + timers_armed() > 1 && others_wait()))) {
    ticking = true;
    idle_ticks = 0;
    hypercall(CALL_TICK, TICK_MICROSECONDS, 0, 0);
  } else if (ticking && asked) {
    idle_ticks = others_wait() ? 0 : idle_ticks + 1;
    if (idle_ticks > IDLE_TICKS) {
      ticking = false;
      hypercall(CALL_TICK, 0, 0, 0);
    }
  }
}

/* ---- System calls -------------------------------------------------------------------------------------------------------- */

i64 sys_clone(const u64 *a) {
  enum { CLONE_VM = 0x100, CLONE_THREAD = 0x10000, CLONE_SETTLS = 0x80000, CLONE_PARENT_SETTID = 0x100000,
         CLONE_CHILD_CLEARTID = 0x200000, CLONE_CHILD_SETTID = 0x1000000 };
  u64 flags = a[0];
  if (!(flags & CLONE_VM) || !(flags & CLONE_THREAD)) return -ENOSYS; /* fork */
  if ((flags & CLONE_PARENT_SETTID) && !may_write(a[2], 4)) return -EFAULT;
  if ((flags & CLONE_CHILD_SETTID) && !may_write(a[3], 4)) return -EFAULT;
  struct thread *thread = thread_new();
  if (!thread) return -EAGAIN;
  thread->id = ++last_id;
  struct frame *frame = (struct frame *)(thread->stack_top - sizeof(struct frame));
  *frame = *current->frame;
  frame->rsp = a[1];
  frame->rax = 0;
  u64 *stack = (u64 *)frame;
  *--stack = (u64)leave;
  stack -= 6; /* what switch_stacks pops */
  thread->stack_pointer = (u64)stack;
  thread->fs = a[4];
  if (!(flags & CLONE_SETTLS)) __asm__ volatile("rdfsbase %0" : "=r"(thread->fs));
  thread->clear_tid = (flags & CLONE_CHILD_CLEARTID) ? a[3] : 0;
  if (flags & CLONE_PARENT_SETTID) *(u32 *)a[2] = thread->id;
  if (flags & CLONE_CHILD_SETTID) *(u32 *)a[3] = thread->id;
  thread->blocked = current->blocked;
  thread->pending = thread->ran = thread->alternate_size = 0;
  thread->deadline = FOREVER;
  extended_save(thread->extended);
  thread->state = THREAD_READY;
  alive++;
  return thread->id;
}

static u64 wake(u32 *futex, u64 most, u32 bits) {
  u64 woken = 0;
  for (; woken < most; woken++) {
    struct thread *first = 0;
    for (u64 i = 0; i < thread_count; i++) {
      struct thread *thread = threads[i];
      if (thread->state == THREAD_FUTEX && thread->futex == futex && (thread->futex_bits & bits) &&
          (!first || thread->order < first->order))
        first = thread;
    }
    if (!first) break;
    first->state = THREAD_READY;
  }
  return woken;
}

i64 sys_futex(const u64 *a) {
  enum { FUTEX_WAIT = 0, FUTEX_WAKE = 1, FUTEX_WAIT_BITSET = 9, FUTEX_WAKE_BITSET = 10, FUTEX_REALTIME = 256 };
  u32 *futex = (u32 *)a[0];
  u64 operation = a[1] & 127;
  if (a[0] % 4) return -EINVAL;
  if (!may_read(a[0], 4)) return -EFAULT;
  u32 bits = operation >= FUTEX_WAIT_BITSET ? (u32)a[5] : ~0u;
  if (operation == FUTEX_WAKE || operation == FUTEX_WAKE_BITSET) return wake(futex, (u32)a[2], bits);
  if (operation != FUTEX_WAIT && operation != FUTEX_WAIT_BITSET) return -ENOSYS;
  i64 deadline = FOREVER;
  if (a[3]) {
    i64 time = read_timespec(a[3]), now = monotonic();
    if (time < 0) return time;
    if (operation == FUTEX_WAIT_BITSET) time -= (a[1] & FUTEX_REALTIME) ? realtime() : now;
    deadline = time > FOREVER - now ? FOREVER : now + time;
  }
  if (*(volatile u32 *)futex != (u32)a[2]) return -EAGAIN;
  if (deadline <= monotonic()) return -ETIMEDOUT;
  current->futex = futex;
  current->futex_bits = bits;
  current->order = queue++;
  return wait(THREAD_FUTEX, deadline);
}

void thread_exit(void) {
  if (current->clear_tid && may_write(current->clear_tid, 4)) {
    *(u32 *)current->clear_tid = 0;
    wake((u32 *)current->clear_tid, ~0UL, ~0u);
  }
  current->state = THREAD_FREE;
  alive--;
  schedule();
}

i64 sys_exit(const u64 *a) {
  if (alive == 1) hypercall(CALL_EXIT, a[0] & 0xff, 0, 0);
  thread_exit();
  return 0;
}

i64 sys_exit_group(const u64 *a) { return hypercall(CALL_EXIT, a[0] & 0xff, 0, 0); }

i64 sys_sched_yield(const u64 *a) {
  (void)a;
  wake_pollers();
  yield();
  return 0;
}

i64 sys_set_tid_address(const u64 *a) {
  current->clear_tid = a[0];
  return current->id;
}

i64 sys_gettid(const u64 *a) { return (void)a, current->id; }

i64 sys_arch_prctl(const u64 *a) {
  enum { ARCH_SET_FS = 0x1002, ARCH_GET_FS = 0x1003 };
  if (a[0] == ARCH_SET_FS) {
    if (a[1] >> 47) return -EPERM;
    __asm__ volatile("wrfsbase %0" ::"r"(a[1]));
    return 0;
  }
  if (a[0] != ARCH_GET_FS) return -EINVAL;
  if (!may_write(a[1], 8)) return -EFAULT;
  __asm__ volatile("rdfsbase %0" : "=r"(*(u64 *)a[1]));
  return 0;
}

i64 sys_sched_getaffinity(const u64 *a) {
  if ((u32)a[0] > 1 && !thread_by_id((u32)a[0])) return -ESRCH;
  if (a[1] < 8) return -EINVAL;
  if (!may_write(a[2], 8)) return -EFAULT;
  *(u64 *)a[2] = 1;
  return 8;
}
