#include "signals.h"

#include "calls.h"
#include "entry.h"
#include "memory.h"
#include "threads.h"
#include "time.h"

#define BIT(number) (1UL << ((number)-1))
#define UNBLOCKABLE (BIT(SIGKILL) | BIT(SIGSTOP))
#define IGNORED_BY_DEFAULT (BIT(SIGCHLD) | BIT(SIGCONT) | BIT(SIGURG) | BIT(SIGWINCH) | BIT(SIGSTOP))

enum { SA_SIGINFO = 4, SA_RESTORER = 0x04000000, SA_ONSTACK = 0x08000000, SA_RESTART = 0x10000000,
       SA_NODEFER = 0x40000000 };
#define SA_RESETHAND 0x80000000UL
enum { SIG_DFL = 0, SIG_IGN = 1, SS_DISABLE = 2, SI_KERNEL = 0x80 };

/* As the kernel has it, not the C library. */
struct action {
  u64 handler, flags, restorer, mask;
};
static struct action actions[SIGNALS + 1];
static u64 pending; /* for a thread that does not block it */

/* What the handler finds on its stack: the kernel's struct rt_sigframe. */
struct signal_frame {
  u64 return_address;
  u64 flags, link, stack, stack_flags, stack_size; /* struct ucontext */
  u64 r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, rflags, selectors;
  u64 error, vector, old_mask, fault_address, extended;
  u64 restart; /* the number of a system call that goes on when the handler returns, plus 1 */
  u64 reserved[7];
  u64 mask;
  i32 number, error_number, code, padding;
  u64 address; /* struct siginfo: 128 octets */
  u64 rest[13];
};

/* ---- Sending ------------------------------------------------------------------------------------------------------------- */

static bool ignored(u64 number) {
  u64 handler = actions[number].handler;
  return handler == SIG_IGN || (handler == SIG_DFL && (BIT(number) & IGNORED_BY_DEFAULT));
}

static void post_to(struct thread *thread, u64 number) {
  thread->pending |= BIT(number);
  if (!(thread->blocked & BIT(number))) thread_interrupt(thread);
}

void signal_post(u64 number) {
  if (ignored(number)) return;
  struct thread *thread;
  for (u64 i = 0; (thread = thread_at(i)); i++)
    if (thread->state != THREAD_FREE && !(thread->blocked & BIT(number))) {
      post_to(thread, number);
      return;
    }
  pending |= BIT(number);
}

void signal_post_here(u64 number) {
  if (!ignored(number)) post_to(current, number);
}

void signals_from_host(void) {
  u64 given = shared->signals;
  shared->signals = 0;
  for (u64 number = 1; number <= SIGNALS; number++)
    if (given & BIT(number)) signal_post(number);
}

bool signal_waiting(void) { return (current->pending | pending) & ~current->blocked; }

i64 sys_kill(const u64 *a) {
  i32 process = a[0];
  if (a[1] > SIGNALS) return -EINVAL;
  if (process > 1) return -ESRCH;
  if (a[1]) signal_post(a[1]);
  return 0;
}

static i64 send_to_thread(u64 id, u64 number) {
  struct thread *thread = thread_by_id((u32)id);
  if (number > SIGNALS) return -EINVAL;
  if (!thread) return -ESRCH;
  if (number && !ignored(number)) post_to(thread, number);
  return 0;
}

i64 sys_tkill(const u64 *a) { return send_to_thread(a[0], a[1]); }
i64 sys_tgkill(const u64 *a) { return (i32)a[0] == 1 ? send_to_thread(a[1], a[2]) : -ESRCH; }

/* ---- Delivering ------------------------------------------------------------------------------------------------------------ */

static _Noreturn void die(struct frame *frame, u64 number, u64 kind) {
  shared->trap.spare = number;
  hypercall(CALL_FAULT, (u64)frame, kind, number);
  for (;;) hypercall(CALL_EXIT, 128 + number, 0, 0);
}

/* Builds the frame of a handler on the application's stack. False when there is no room for it. */
static bool call_handler(struct frame *frame, u64 number, i32 code) {
  struct action *action = &actions[number];
  u64 stack = frame->rsp - 128; /* below the red zone */
  bool on_alternate = frame->rsp - current->alternate_stack < current->alternate_size;
  if ((action->flags & SA_ONSTACK) && current->alternate_size && !on_alternate)
    stack = current->alternate_stack + current->alternate_size;
  u64 extended = (stack - EXTENDED_STATE) & ~63UL;
  u64 at = ((extended - sizeof(struct signal_frame)) & ~15UL) - 8;
  if (stack < EXTENDED_STATE + 1024 || !may_write(at, stack - at)) return false;
  extended_save((u8 *)extended);
  struct signal_frame *out = (struct signal_frame *)at;
  memset(out, 0, sizeof *out);
  out->return_address = action->restorer;
  out->stack = current->alternate_stack;
  out->stack_size = current->alternate_size;
  out->stack_flags = current->alternate_size ? 0 : SS_DISABLE;
  out->r8 = frame->r8, out->r9 = frame->r9, out->r10 = frame->r10, out->r11 = frame->r11;
  out->r12 = frame->r12, out->r13 = frame->r13, out->r14 = frame->r14, out->r15 = frame->r15;
  out->rdi = frame->rdi, out->rsi = frame->rsi, out->rbp = frame->rbp, out->rbx = frame->rbx;
  out->rdx = frame->rdx, out->rax = frame->rax, out->rcx = frame->rcx, out->rsp = frame->rsp;
  out->rip = frame->rip, out->rflags = frame->rflags, out->selectors = USER_CS;
  out->restart = (action->flags & SA_RESTART) ? current->restart : 0;
  current->restart = 0; /* a second handler goes before the first, not before the call */
  out->error = frame->error, out->vector = frame->vector;
  out->fault_address = out->address = current->fault_address;
  out->extended = extended;
  out->mask = current->blocked;
  out->number = number;
  out->code = code;
  frame->rsp = at;
  frame->rip = action->handler;
  frame->rdi = number;
  frame->rsi = (u64)&out->number;
  frame->rdx = (u64)&out->flags;
  frame->rax = 0;
  frame->rflags = USER_FLAGS;
  current->blocked |= action->mask & ~UNBLOCKABLE;
  if (!(action->flags & SA_NODEFER)) current->blocked |= BIT(number);
  if (action->flags & SA_RESETHAND) action->handler = SIG_DFL;
  return true;
}

void signals_deliver(struct frame *frame) {
  for (;;) {
    u64 waiting = (current->pending | pending) & ~current->blocked;
    if (!waiting) return;
    u64 number = __builtin_ctzl(waiting) + 1;
    current->pending &= ~BIT(number);
    pending &= ~BIT(number);
    if (ignored(number)) continue;
    if (actions[number].handler == SIG_DFL) die(frame, number, FAULT_SIGNAL);
    current->fault_address = 0;
    if (!call_handler(frame, number, 0)) die(frame, SIGSEGV, FAULT_USER);
  }
}

/* The signal that stands for a processor exception. */
static u64 signal_of(u64 vector) {
  switch (vector) {
    case 0:
    case 16:
    case 19: return SIGFPE;
    case 1:
    case 3: return SIGTRAP;
    case 6: return SIGILL;
    case 17: return SIGBUS;
    default: return SIGSEGV;
  }
}

/* Exceptions, and what the tender injects, both through entry_trap. */
void handle_trap(struct frame *frame) {
  if (!current) die(frame, SIGSEGV, FAULT_LIBOS); /* during boot */
  current->frame = frame;
  if (frame->vector == TRAP_TICK) {
    shared->pending = 1;
    yield_if_asked();
    signals_deliver(frame);
    return;
  }
  u64 number = signal_of(frame->vector);
  if (shared->trap.cs != USER_CS || in_libos(frame->rip)) die(frame, number, FAULT_LIBOS);
  if (actions[number].handler <= SIG_IGN || (current->blocked & BIT(number))) die(frame, number, FAULT_USER);
  current->fault_address = shared->trap.cr2;
  if (!call_handler(frame, number, frame->vector == 14 ? 1 + (frame->error & 1) : SI_KERNEL))
    die(frame, number, FAULT_USER);
}

i64 sys_rt_sigreturn(const u64 *a) {
  (void)a;
  struct frame *frame = current->frame;
  u64 at = frame->rsp - 8;
  if (!may_read(at, sizeof(struct signal_frame))) die(frame, SIGSEGV, FAULT_USER);
  const struct signal_frame *in = (const struct signal_frame *)at;
  if (in->extended % 64 || !may_read(in->extended, EXTENDED_STATE)) die(frame, SIGSEGV, FAULT_USER);
  memcpy(current->extended, (void *)in->extended, EXTENDED_STATE);
  /* XRSTOR faults on a header that is not in order, and on reserved bits of MXCSR. */
  *(u32 *)(current->extended + 24) &= 0xffff;
  *(u64 *)(current->extended + 512) &= extended_mask;
  memset(current->extended + 520, 0, 56);
  extended_restore(current->extended);
  frame->r8 = in->r8, frame->r9 = in->r9, frame->r10 = in->r10, frame->r11 = in->r11;
  frame->r12 = in->r12, frame->r13 = in->r13, frame->r14 = in->r14, frame->r15 = in->r15;
  frame->rdi = in->rdi, frame->rsi = in->rsi, frame->rbp = in->rbp, frame->rbx = in->rbx;
  frame->rdx = in->rdx, frame->rax = in->rax, frame->rcx = in->rcx, frame->rsp = in->rsp;
  frame->rip = in->rip;
  u64 restart = in->restart;
  frame->rflags = (in->rflags & 0xcd5) | (USER_FLAGS & ~0xcd5UL); /* carry to overflow, direction, trap not */
  current->blocked = in->mask & ~UNBLOCKABLE;
  return restart ? call_again(restart - 1, frame) : (i64)frame->rax;
}

/* ---- System calls ------------------------------------------------------------------------------------------------------------ */

i64 sys_rt_sigaction(const u64 *a) {
  if (!a[0] || a[0] > SIGNALS || a[3] != 8) return -EINVAL;
  struct action *action = &actions[a[0]], new;
  if (a[1]) {
    if (BIT(a[0]) & UNBLOCKABLE) return -EINVAL;
    if (!may_read(a[1], sizeof new)) return -EFAULT;
    new = *(struct action *)a[1];
  }
  if (a[2]) {
    if (!may_write(a[2], sizeof *action)) return -EFAULT;
    *(struct action *)a[2] = *action;
  }
  if (a[1]) *action = new;
  return 0;
}

i64 sys_rt_sigprocmask(const u64 *a) {
  if (a[3] != 8) return -EINVAL;
  u64 old = current->blocked;
  if (a[1]) {
    if (!may_read(a[1], 8)) return -EFAULT;
    u64 set = *(u64 *)a[1] & ~UNBLOCKABLE;
    if (a[0] == 0)
      current->blocked |= set;
    else if (a[0] == 1)
      current->blocked &= ~set;
    else if (a[0] == 2)
      current->blocked = set;
    else
      return -EINVAL;
  }
  if (a[2]) {
    if (!may_write(a[2], 8)) return -EFAULT;
    *(u64 *)a[2] = old;
  }
  return 0;
}

i64 sys_rt_sigpending(const u64 *a) {
  if (!may_write(a[0], 8)) return -EFAULT;
  *(u64 *)a[0] = (current->pending | pending) & current->blocked;
  return 0;
}

i64 sys_pause(const u64 *a) {
  (void)a;
  return wait_until(0, 0, FOREVER);
}

i64 sys_rt_sigsuspend(const u64 *a) {
  if (a[1] != 8) return -EINVAL;
  if (!may_read(a[0], 8)) return -EFAULT;
  u64 old = current->blocked;
  current->blocked = *(u64 *)a[0] & ~UNBLOCKABLE;
  i64 result = wait_until(0, 0, FOREVER);
  signals_deliver(current->frame);
  current->blocked = old;
  return result;
}

/* Takes one of the set's signals, if one waits. */
static bool take(void *argument) {
  u64 waiting = (current->pending | pending) & *(u64 *)argument;
  if (!waiting) return false;
  u64 bit = waiting & -waiting;
  current->pending &= ~bit;
  pending &= ~bit;
  *(u64 *)argument = bit;
  return true;
}

i64 sys_rt_sigtimedwait(const u64 *a) {
  if (a[3] != 8) return -EINVAL;
  if (!may_read(a[0], 8) || (a[1] && !may_write(a[1], 128))) return -EFAULT;
  u64 set = *(u64 *)a[0] & ~UNBLOCKABLE, blocked = current->blocked;
  i64 deadline = FOREVER;
  if (a[2]) {
    i64 time = read_timespec(a[2]), now = monotonic();
    if (time < 0) return time;
    deadline = time > FOREVER - now ? FOREVER : now + time;
  }
  i64 result;
  for (;;) {
    if (take(&set)) {
      result = __builtin_ctzl(set) + 1;
      break;
    }
    current->blocked = blocked & ~set; /* so that one of them ends the wait */
    result = wait_until(0, 0, deadline);
    current->blocked = blocked;
    if (result == -EINTR && ((current->pending | pending) & set)) continue;
    if (result == -ETIMEDOUT) result = -EAGAIN;
    break;
  }
  if (result > 0 && a[1]) {
    memset((void *)a[1], 0, 128);
    *(i32 *)a[1] = result;
  }
  return result;
}

i64 sys_sigaltstack(const u64 *a) {
  if (a[1]) {
    if (!may_write(a[1], 24)) return -EFAULT;
    u64 *out = (u64 *)a[1];
    out[0] = current->alternate_stack;
    out[1] = current->alternate_size ? 0 : SS_DISABLE;
    out[2] = current->alternate_size;
  }
  if (a[0]) {
    if (!may_read(a[0], 24)) return -EFAULT;
    const u64 *in = (const u64 *)a[0];
    bool disable = (u32)in[1] & SS_DISABLE;
    if (!disable && in[2] < 2048) return -ENOMEM;
    current->alternate_stack = disable ? 0 : in[0];
    current->alternate_size = disable ? 0 : in[2];
  }
  return 0;
}
