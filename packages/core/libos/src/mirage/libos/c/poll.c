#include "poll.h"

#include "memory.h"
#include "signals.h"
#include "time.h"

/* ---- Readiness ------------------------------------------------------------------------------------------------------------- */

static u32 readiness(struct file *file) {
  return file->operations->ready ? file->operations->ready(file) : POLL_IN | POLL_OUT;
}

struct one { struct file *file; u32 events; };

static bool one_ready(void *argument) {
  struct one *one = argument;
  return readiness(one->file) & (one->events | POLL_ERR | POLL_HUP);
}

i64 wait_ready(struct file *file, u32 events) {
  struct one one = {file, events};
  file->references++; /* another thread may close it meanwhile */
  i64 result = wait_until(one_ready, &one, FOREVER);
  file_drop(file);
  return result;
}

/* The deadline of a timeout: negative means none. */
static i64 after(i64 nanoseconds) {
  i64 now = monotonic();
  return nanoseconds < 0 || nanoseconds > FOREVER - now ? FOREVER : now + nanoseconds;
}

/* Waits for something to be ready; how many there were is for the caller to see. */
static i64 wait_some(bool (*some)(void *), void *argument, i64 nanoseconds) {
  if (some(argument) || !nanoseconds) return 0;
  i64 result = wait_until(some, argument, after(nanoseconds));
  return result == -ETIMEDOUT ? 0 : result;
}

/* Installs the mask of a ppoll or its like for the wait. */
static i64 with_mask(u64 address, u64 size, i64 (*wait)(const u64 *, i64), const u64 *a, i64 nanoseconds) {
  if (!address) return wait(a, nanoseconds);
  if (size != 8) return -EINVAL;
  if (!may_read(address, 8)) return -EFAULT;
  u64 old = current->blocked;
  current->blocked = *(u64 *)address;
  i64 result = wait(a, nanoseconds);
  current->blocked = old;
  return result;
}

/* ---- poll -------------------------------------------------------------------------------------------------------------------- */

struct pollfd { i32 descriptor; u16 events, found; };
struct polled { struct pollfd *list; u64 count, ready; };

static bool poll_some(void *argument) {
  struct polled *polled = argument;
  polled->ready = 0;
  for (u64 i = 0; i < polled->count; i++) {
    struct pollfd *p = &polled->list[i];
    p->found = 0;
    if (p->descriptor < 0) continue;
    struct file *file = file_of(p->descriptor);
    p->found = file ? readiness(file) & (p->events | POLL_ERR | POLL_HUP) : POLL_NVAL;
    polled->ready += p->found != 0;
  }
  return polled->ready;
}

static i64 poll(const u64 *a, i64 nanoseconds) {
  if (a[1] > 4 * DESCRIPTORS) return -EINVAL;
  if (!may_write(a[0], a[1] * sizeof(struct pollfd))) return -EFAULT;
  struct polled polled = {(struct pollfd *)a[0], a[1], 0};
  i64 result = wait_some(poll_some, &polled, nanoseconds);
  return result ? result : (i64)polled.ready;
}

i64 sys_poll(const u64 *a) { return poll(a, (i32)a[2] < 0 ? -1 : (i64)(i32)a[2] * 1000000); }

i64 sys_ppoll(const u64 *a) {
  i64 timeout = -1;
  if (a[2] && (timeout = read_timespec(a[2])) < 0) return timeout;
  return with_mask(a[3], a[4], poll, a, timeout);
}

/* ---- select ------------------------------------------------------------------------------------------------------------------ */

enum { WORDS = DESCRIPTORS / 64 };
struct selected { u64 count; const u64 *wanted[3]; u64 found[3][WORDS]; u64 ready; bool bad; };

static bool select_some(void *argument) {
  struct selected *s = argument;
  static const u32 meaning[3] = {POLL_IN | POLL_HUP | POLL_ERR, POLL_OUT | POLL_ERR, 0};
  memset(s->found, 0, sizeof s->found);
  s->ready = 0;
  for (u64 i = 0; i < s->count; i++) {
    u64 bit = 1UL << (i % 64);
    for (int set = 0; set < 3; set++) {
      if (!s->wanted[set] || !(s->wanted[set][i / 64] & bit)) continue;
      struct file *file = file_of(i);
      if (!file) s->bad = true;
      if (!file || !(readiness(file) & meaning[set])) continue;
      s->found[set][i / 64] |= bit;
      s->ready++;
    }
  }
  return s->ready || s->bad;
}

static i64 select(const u64 *a, i64 nanoseconds) {
  struct selected s = {.count = a[0]};
  if (a[0] > 1024) return -EINVAL;
  u64 octets = (a[0] + 63) / 64 * 8;
  s.count = minimum(a[0], DESCRIPTORS);
  for (int set = 0; set < 3; set++) {
    if (a[1 + set] && !may_write(a[1 + set], octets)) return -EFAULT;
    s.wanted[set] = (const u64 *)a[1 + set];
  }
  i64 result = wait_some(select_some, &s, nanoseconds);
  if (s.bad) return -EBADF;
  if (result) return result;
  for (int set = 0; set < 3; set++) {
    if (!a[1 + set]) continue;
    memset((void *)a[1 + set], 0, octets);
    memcpy((void *)a[1 + set], s.found[set], minimum(octets, sizeof s.found[set]));
  }
  return s.ready;
}

i64 sys_select(const u64 *a) {
  if (!a[4]) return select(a, -1);
  if (!may_read(a[4], 16)) return -EFAULT;
  const i64 *t = (const i64 *)a[4];
  if (t[0] < 0 || t[1] < 0 || t[0] > 1L << 32) return -EINVAL;
  return select(a, t[0] * NANOSECONDS + t[1] * 1000);
}

i64 sys_pselect6(const u64 *a) {
  i64 timeout = -1;
  if (a[4] && (timeout = read_timespec(a[4])) < 0) return timeout;
  u64 mask = 0, size = 0;
  if (a[5]) {
    if (!may_read(a[5], 16)) return -EFAULT;
    mask = ((u64 *)a[5])[0];
    size = ((u64 *)a[5])[1];
  }
  return with_mask(mask, size, select, a, timeout);
}

/* ---- epoll ------------------------------------------------------------------------------------------------------------------- */

enum { EPOLL_ADD = 1, EPOLL_DELETE = 2, EPOLL_MODIFY = 3 };
#define EPOLL_ONESHOT (1u << 30)

struct interest { struct interest *next; struct file *file; i32 descriptor; u32 events; u64 data; };
struct epoll { struct epoll *next; struct interest *interests; };
struct __attribute__((packed)) event { u32 events; u64 data; };

static struct pool interest_pool = {sizeof(struct interest), 0}, epoll_pool = {sizeof(struct epoll), 0};
static struct epoll *epolls;

static bool epoll_ready(struct epoll *epoll) {
  for (struct interest *i = epoll->interests; i; i = i->next)
    if (i->events && (readiness(i->file) & (i->events | POLL_ERR | POLL_HUP))) return true;
  return false;
}

static u32 epoll_readiness(struct file *file) { return epoll_ready(file->object) ? POLL_IN : 0; }

static void remove_where(struct epoll *epoll, struct file *file, i32 descriptor) {
  for (struct interest **at = &epoll->interests; *at;) {
    struct interest *i = *at;
    if (i->file == file && (descriptor < 0 || i->descriptor == descriptor)) {
      *at = i->next;
      pool_give(&interest_pool, i);
    } else {
      at = &i->next;
    }
  }
}

void poll_forget(struct file *file) {
  for (struct epoll *epoll = epolls; epoll; epoll = epoll->next) remove_where(epoll, file, -1);
}

static void epoll_close(struct file *file) {
  struct epoll *epoll = file->object;
  for (struct epoll **at = &epolls; *at; at = &(*at)->next)
    if (*at == epoll) {
      *at = epoll->next;
      break;
    }
  while (epoll->interests) {
    struct interest *i = epoll->interests;
    epoll->interests = i->next;
    pool_give(&interest_pool, i);
  }
  pool_give(&epoll_pool, epoll);
}

static const struct operations epoll_operations = {
    .name = "epoll", .mode = 0, .ready = epoll_readiness, .close = epoll_close};

i64 sys_epoll_create1(const u64 *a) {
  struct epoll *epoll = pool_take(&epoll_pool);
  struct file *file = epoll ? file_new(&epoll_operations, 2) : 0;
  if (!file) return -ENOMEM;
  file->object = epoll;
  epoll->next = epolls;
  epolls = epoll;
  return descriptor_new(file, 0, a[0] & O_CLOEXEC);
}

i64 sys_epoll_create(const u64 *a) {
  u64 none = 0;
  return (i32)a[0] > 0 ? sys_epoll_create1(&none) : -EINVAL;
}

i64 sys_epoll_ctl(const u64 *a) {
  struct file *file = file_of(a[0]), *target = file_of(a[2]);
  if (!file || !target) return -EBADF;
  if (file->operations != &epoll_operations || file == target) return -EINVAL;
  if (!target->operations->ready) return -EPERM; /* a regular file */
  struct epoll *epoll = file->object;
  struct interest *found = epoll->interests;
  while (found && (found->file != target || found->descriptor != (i32)a[2])) found = found->next;
  if (a[1] == EPOLL_DELETE) {
    if (!found) return -ENOENT;
    remove_where(epoll, target, a[2]);
    return 0;
  }
  if (!may_read(a[3], sizeof(struct event))) return -EFAULT;
  if (a[1] == EPOLL_ADD) {
    if (found) return -EEXIST;
    found = pool_take(&interest_pool);
    if (!found) return -ENOMEM;
    struct interest **end = &epoll->interests;
    while (*end) end = &(*end)->next;
    *end = found;
    found->file = target;
    found->descriptor = a[2];
  } else if (a[1] != EPOLL_MODIFY) {
    return -EINVAL;
  } else if (!found) {
    return -ENOENT;
  }
  found->events = ((struct event *)a[3])->events | POLL_ERR | POLL_HUP;
  found->data = ((struct event *)a[3])->data;
  wake_pollers();
  return 0;
}

static bool epoll_some(void *argument) { return epoll_ready(argument); }

static i64 epoll_wait(const u64 *a, i64 nanoseconds) {
  struct file *file = file_of(a[0]);
  if (!file) return -EBADF;
  if (file->operations != &epoll_operations || (i32)a[2] <= 0) return -EINVAL;
  if (!may_write(a[1], minimum((u32)a[2], 4 * DESCRIPTORS) * sizeof(struct event))) return -EFAULT;
  struct epoll *epoll = file->object;
  file->references++;
  i64 result = wait_some(epoll_some, epoll, nanoseconds);
  struct event *out = (struct event *)a[1];
  u64 room = minimum((u32)a[2], 4 * DESCRIPTORS), n = 0;
  for (struct interest *i = epoll->interests; !result && i && n < room; i = i->next) {
    u32 ready = i->events ? readiness(i->file) & (i->events | POLL_ERR | POLL_HUP) & 0xffff : 0;
    if (!ready) continue;
    out[n++] = (struct event){ready, i->data};
    if (i->events & EPOLL_ONESHOT) i->events = 0;
  }
  file_drop(file);
  return result ? result : (i64)n;
}

i64 sys_epoll_pwait(const u64 *a) {
  i64 timeout = (i32)a[3] < 0 ? -1 : (i64)(i32)a[3] * 1000000;
  return with_mask(a[4], a[5], epoll_wait, a, timeout);
}

i64 sys_epoll_wait(const u64 *a) {
  u64 arguments[6] = {a[0], a[1], a[2], a[3], 0, 0};
  return sys_epoll_pwait(arguments);
}

/* ---- eventfd ----------------------------------------------------------------------------------------------------------------- */

enum { EFD_SEMAPHORE = 1 };

static i64 event_read(struct file *file, u8 *to, u64 n, u64 at) {
  (void)at;
  if (n < 8) return -EINVAL;
  if (!file->position) return -EAGAIN;
  u64 value = file->number & EFD_SEMAPHORE ? 1 : file->position;
  memcpy(to, &value, 8);
  file->position -= value;
  wake_pollers();
  return 8;
}

static i64 event_write(struct file *file, const u8 *from, u64 n, u64 at) {
  u64 value;
  (void)at;
  if (n < 8) return -EINVAL;
  memcpy(&value, from, 8);
  if (value == ~0UL) return -EINVAL;
  if (value > ~0UL - 1 - file->position) return -EAGAIN;
  file->position += value;
  wake_pollers();
  return 8;
}

static u32 event_ready(struct file *file) {
  return (file->position ? POLL_IN : 0) | (file->position < ~0UL - 1 ? POLL_OUT : 0);
}

static const struct operations event_operations = {
    .name = "eventfd", .read = event_read, .write = event_write, .ready = event_ready};

i64 sys_eventfd2(const u64 *a) {
  struct file *file = file_new(&event_operations, 2 | (a[1] & O_NONBLOCK));
  if (!file) return -ENOMEM;
  file->position = (u32)a[0];
  file->number = a[1] & EFD_SEMAPHORE;
  return descriptor_new(file, 0, a[1] & O_CLOEXEC);
}

i64 sys_eventfd(const u64 *a) {
  u64 arguments[2] = {a[0], 0};
  return sys_eventfd2(arguments);
}

/* ---- timerfd ----------------------------------------------------------------------------------------------------------------- */

struct timer { struct timer *next; i64 deadline, interval; bool real; };
static struct pool timer_pool = {sizeof(struct timer), 0};
static struct timer *timers;

i64 timerfd_deadline(void) {
  i64 soonest = FOREVER, now = monotonic();
  for (struct timer *t = timers; t; t = t->next)
    if (t->deadline > now && t->deadline < soonest) soonest = t->deadline;
  return soonest;
}

static u32 timer_ready(struct file *file) {
  return ((struct timer *)file->object)->deadline <= monotonic() ? POLL_IN : 0;
}

static i64 timer_read(struct file *file, u8 *to, u64 n, u64 at) {
  struct timer *timer = file->object;
  i64 now = monotonic();
  (void)at;
  if (n < 8) return -EINVAL;
  if (timer->deadline > now) return -EAGAIN;
  u64 times = 1;
  if (timer->interval) {
    times += (now - timer->deadline) / timer->interval;
    timer->deadline += times * timer->interval;
  } else {
    timer->deadline = FOREVER;
  }
  memcpy(to, &times, 8);
  return 8;
}

static void timer_close(struct file *file) {
  for (struct timer **at = &timers; *at; at = &(*at)->next)
    if (*at == file->object) {
      *at = (*at)->next;
      break;
    }
  pool_give(&timer_pool, file->object);
}

static const struct operations timer_operations = {
    .name = "timerfd", .read = timer_read, .ready = timer_ready, .close = timer_close};

i64 sys_timerfd_create(const u64 *a) {
  if (a[0] > 1 && a[0] != 7) return -EINVAL;
  struct timer *timer = pool_take(&timer_pool);
  struct file *file = timer ? file_new(&timer_operations, 2 | (a[1] & O_NONBLOCK)) : 0;
  if (!file) return -ENOMEM;
  timer->deadline = FOREVER;
  timer->real = !a[0];
  timer->next = timers;
  timers = timer;
  file->object = timer;
  return descriptor_new(file, 0, a[1] & O_CLOEXEC);
}

static i64 timer_write(struct timer *timer, u64 address) {
  if (!may_write(address, 32)) return -EFAULT;
  i64 left = timer->deadline == FOREVER ? 0 : timer->deadline - monotonic();
  write_timespec(address, timer->interval);
  return write_timespec(address + 16, left < 0 ? 1 : left);
}

i64 sys_timerfd_gettime(const u64 *a) {
  struct file *file = file_of(a[0]);
  if (!file) return -EBADF;
  return file->operations == &timer_operations ? timer_write(file->object, a[1]) : -EINVAL;
}

i64 sys_timerfd_settime(const u64 *a) {
  struct file *file = file_of(a[0]);
  if (!file) return -EBADF;
  if (file->operations != &timer_operations) return -EINVAL;
  struct timer *timer = file->object;
  i64 interval = read_timespec(a[2]);
  if (interval < 0) return interval;
  i64 first = read_timespec(a[2] + 16);
  if (first < 0) return first;
  if (a[3]) {
    i64 result = timer_write(timer, a[3]);
    if (result) return result;
  }
  i64 now = monotonic();
  timer->interval = interval;
  if (!first)
    timer->deadline = FOREVER;
  else if (a[1] & 1) /* TFD_TIMER_ABSTIME */
    timer->deadline = timer->real ? now + (first - realtime()) : first;
  else
    timer->deadline = after(first);
  wake_pollers();
  return 0;
}
