/* Signals: those the host passes in, those the application sends itself, and faults. */
#ifndef SIGNALS_H
#define SIGNALS_H

#include "base.h"

enum { SIGINT = 2, SIGILL = 4, SIGTRAP = 5, SIGABRT = 6, SIGBUS = 7, SIGFPE = 8, SIGKILL = 9, SIGSEGV = 11,
       SIGPIPE = 13, SIGALRM = 14, SIGCHLD = 17, SIGCONT = 18, SIGSTOP = 19, SIGURG = 23, SIGXFSZ = 25, SIGVTALRM = 26,
       SIGPROF = 27, SIGWINCH = 28, SIGNALS = 64 };

void signal_post(u64 number);   /* to whichever thread takes it */
void signals_from_host(void);   /* posts what stands in the shared page */
void signal_post_here(u64 number); /* to the current thread */
bool signal_waiting(void);      /* the current thread has one that it does not block */
void signals_deliver(struct frame *frame); /* on the way back to the application */

void handle_trap(struct frame *frame);

i64 sys_rt_sigaction(const u64 *a);
i64 sys_rt_sigprocmask(const u64 *a);
i64 sys_rt_sigpending(const u64 *a);
i64 sys_rt_sigsuspend(const u64 *a);
i64 sys_rt_sigtimedwait(const u64 *a);
i64 sys_rt_sigreturn(const u64 *a);
i64 sys_sigaltstack(const u64 *a);
i64 sys_pause(const u64 *a);
i64 sys_kill(const u64 *a);
i64 sys_tkill(const u64 *a);
i64 sys_tgkill(const u64 *a);

#endif
