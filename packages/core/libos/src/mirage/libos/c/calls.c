#include "calls.h"

#include "devices.h"
#include "entry.h"
#include "files.h"
#include "identity.h"
#include "memory.h"
#include "pipes.h"
#include "poll.h"
#include "signals.h"
#include "threads.h"
#include "time.h"

enum { CALLS = 512 };

static i64 (*const table[CALLS])(const u64 *a) = {
#define CALL(number, name, function, supported, refused) [number] = sys_##function,
#include "calls.def"
#undef CALL
};

bool handle_syscall(struct frame *frame) {
  const u64 arguments[6] = {frame->rdi, frame->rsi, frame->rdx, frame->r10, frame->r8, frame->r9};
  u64 number = frame->rax, rip = frame->rip, rsp = frame->rsp;
  current->frame = frame;
  if (number < CALLS && table[number]) {
    frame->rax = table[number](arguments);
  } else {
    if (shared->boot.log_unknown) hypercall(CALL_UNKNOWN, number, 0, 0);
    frame->rax = -ENOSYS;
  }
  yield_if_asked();
  signals_deliver(frame);
  return frame->rip == rip && frame->rsp == rsp;
}
