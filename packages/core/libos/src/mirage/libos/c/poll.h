/* Waiting for files: poll, select, epoll; and the files that exist to be waited for: pipes, socket pairs, eventfd,
 * timerfd. */
#ifndef POLL_H
#define POLL_H

#include "files.h"
#include "threads.h"

/* Waits until a file is ready for one of the events. 0, or -EINTR. */
i64 wait_ready(struct file *file, u32 events);
/* A file's last descriptor is closed: no epoll may keep it. */
void poll_forget(struct file *file);
/* When the first timerfd that is armed fires; FOREVER when none is. */
i64 timerfd_deadline(void);

i64 sys_poll(const u64 *a);
i64 sys_ppoll(const u64 *a);
i64 sys_select(const u64 *a);
i64 sys_pselect6(const u64 *a);
i64 sys_epoll_create(const u64 *a);
i64 sys_epoll_create1(const u64 *a);
i64 sys_epoll_ctl(const u64 *a);
i64 sys_epoll_wait(const u64 *a);
i64 sys_epoll_pwait(const u64 *a);
i64 sys_eventfd(const u64 *a);
i64 sys_eventfd2(const u64 *a);
i64 sys_timerfd_create(const u64 *a);
i64 sys_timerfd_settime(const u64 *a);
i64 sys_timerfd_gettime(const u64 *a);

#endif
