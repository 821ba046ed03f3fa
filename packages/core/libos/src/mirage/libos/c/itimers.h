/* The three interval timers of a process: on the monotonic clock (SIGALRM), and twice on its processor time (SIGVTALRM,
 * SIGPROF; all of it counts as the application's own). */
#ifndef ITIMERS_H
#define ITIMERS_H

#include "base.h"

/* When the first one on the monotonic clock fires; FOREVER when it is off. Those on processor time wake nobody. */
i64 timer_deadline(void);
bool timers_armed(void);
void timers_check(void); /* sends the signals that are due */

i64 sys_alarm(const u64 *a);
i64 sys_setitimer(const u64 *a);
i64 sys_getitimer(const u64 *a);

#endif
