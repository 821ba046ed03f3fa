/* The system-call table: calls.def, made into a table of functions. */
#ifndef CALLS_H
#define CALLS_H

#include "base.h"

/* Whether the caller goes on after its system call with nothing changed but rax. */
bool handle_syscall(struct frame *frame);
/* Makes a call that a signal had ended once more, with the arguments of the frame. */
i64 call_again(u64 number, const struct frame *frame);

#endif
