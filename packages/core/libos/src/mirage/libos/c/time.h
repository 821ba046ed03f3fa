/* Clocks, out of the time-stamp counter. */
#ifndef TIME_H
#define TIME_H

#include "base.h"

void time_start(void);
i64 started_at(void); /* the monotonic time of this guest's start */
i64 process_time(void); /* nanoseconds since then that were not spent asleep */
i64 monotonic(void); /* nanoseconds; goes on over a snapshot */
i64 realtime(void);  /* nanoseconds since 1970 */

/* A struct timespec of the application in nanoseconds. -EFAULT or -EINVAL. */
i64 read_timespec(u64 address);
i64 write_timespec(u64 address, i64 nanoseconds);

i64 sys_nanosleep(const u64 *a);
i64 sys_clock_nanosleep(const u64 *a);
i64 sys_clock_gettime(const u64 *a);
i64 sys_clock_getres(const u64 *a);
i64 sys_clock_settime(const u64 *a);
i64 sys_gettimeofday(const u64 *a);
i64 sys_time(const u64 *a);
i64 sys_times(const u64 *a);
i64 sys_getrusage(const u64 *a);

#endif
