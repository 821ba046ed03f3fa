#include "calls.h"

#include "attributes.h"
#include "devices.h"
#include "entry.h"
#include "files.h"
#include "identity.h"
#include "itimers.h"
#include "maps.h"
#include "memory.h"
#include "names.h"
#include "pipes.h"
#include "poll.h"
#include "scheduling.h"
#include "signals.h"
#include "threads.h"
#include "time.h"
#include "transfer.h"

enum { CALLS = 512 };

static i64 (*const table[CALLS])(const u64 *a) = {
#define CALL(number, name, function, supported, refused) [number] = sys_##function,
#include "calls.def"
#undef CALL
};

/* Those that SA_RESTART applies to: see signal(7) of Linux. The others always end with EINTR. */
static bool restarts(u64 number) {
  static const u16 numbers[] = {0, 1, 16, 17, 18, 19, 20, 44, 45, 46, 47, 61, 72, 73, 202, 247, 295, 296};
  for (u64 i = 0; i < sizeof numbers / sizeof *numbers; i++)
    if (numbers[i] == number) return true;
  return false;
}

static i64 call(u64 number, const struct frame *frame) {
  const u64 arguments[6] = {frame->rdi, frame->rsi, frame->rdx, frame->r10, frame->r8, frame->r9};
  if (number >= CALLS || !table[number]) {
    if (shared->boot.log_unknown) hypercall(CALL_UNKNOWN, number, 0, 0);
    return -ENOSYS;
  }
  i64 result = table[number](arguments);
  if (result == -EINTR && restarts(number)) current->restart = number + 1;
  return result;
}

i64 call_again(u64 number, const struct frame *frame) { return restarts(number) ? call(number, frame) : -EINTR; }

bool handle_syscall(struct frame *frame) {
  u64 rip = frame->rip, rsp = frame->rsp;
  current->frame = frame;
  current->restart = 0;
  frame->rax = call(frame->rax, frame);
  yield_if_asked();
  signals_deliver(frame);
  current->restart = 0;
  return frame->rip == rip && frame->rsp == rsp;
}
