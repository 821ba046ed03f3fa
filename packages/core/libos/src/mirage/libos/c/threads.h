/* Threads on one processor: who runs, who waits, and for what.
 *
 * A thread runs until it waits, or until the tender interrupts it (CALL_TICK) because another one could run. Those that
 * wait for a futex are woken first come, first served. */
#ifndef THREADS_H
#define THREADS_H

#include "base.h"

enum { EXTENDED_STATE = 4096, THREADS = 256 };
enum thread_state { THREAD_FREE, THREAD_READY, THREAD_FUTEX, THREAD_POLL };

struct thread {
  u8 extended[EXTENDED_STATE]; /* of XSAVE; 64-octet aligned */
  enum thread_state state;
  u32 id;                      /* never used twice */
  u32 slot;
  u64 stack_pointer;           /* while another thread runs */
  u64 stack_top;
  u64 fs;
  u32 *futex;
  u32 futex_bits;
  u64 order;                   /* the place in the queue of a futex */
  i64 deadline;
  bool timed_out, interrupted;
  u64 clear_tid;
  i64 started, ran;            /* processor time: since when, and before that */
  u64 blocked, pending;        /* signals: bit n - 1 is signal n */
  u64 fault_address;
  u64 alternate_stack, alternate_size;
  u32 alternate_flags;
  struct frame *frame;         /* of the system call in progress */
  u64 restart;                 /* that call's number plus 1, if SA_RESTART applies to it and a signal ended it */
};

extern struct thread *current;
extern u64 extended_mask; /* the parts of the extended state that XSAVE keeps */

void threads_start(void);
struct thread *thread_at(u64 index); /* 0 past the last one */
struct thread *thread_by_id(u64 id);
void thread_exit(void);

/* Waits until done(argument) (missing: never), 0; until the deadline, -ETIMEDOUT; or until a signal, -EINTR. */
i64 wait_until(bool (*done)(void *), void *argument, i64 deadline);
void wake_pollers(void);
void thread_interrupt(struct thread *thread);

/* At the end of a system call or an interruption: lets others run if the tender asked, sees to the tick. */
void yield_if_asked(void);
void yield(void);

i64 idle_time(void);
i64 thread_time(struct thread *thread);

static inline void extended_save(u8 *to) {
  __asm__ volatile("xsave64 (%0)" ::"r"(to), "a"((u32)extended_mask), "d"(0) : "memory");
}
static inline void extended_restore(const u8 *from) {
  __asm__ volatile("xrstor64 (%0)" ::"r"(from), "a"((u32)extended_mask), "d"(0) : "memory");
}

i64 sys_clone(const u64 *a);
i64 sys_exit(const u64 *a);
i64 sys_exit_group(const u64 *a);
i64 sys_futex(const u64 *a);
i64 sys_sched_yield(const u64 *a);
i64 sys_set_tid_address(const u64 *a);
i64 sys_gettid(const u64 *a);
i64 sys_arch_prctl(const u64 *a);
i64 sys_sched_getaffinity(const u64 *a);

#endif
