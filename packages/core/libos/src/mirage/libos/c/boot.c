/* The first C code of a guest, called by `start` in entry.S: sets every part up, then enters the program interpreter. */
#include "devices.h"
#include "entry.h"
#include "memory.h"
#include "threads.h"
#include "time.h"
#include "tmpfs.h"
#include "tree.h"

/* In .data, not .bss: the builder writes it into the file. */
struct image image __attribute__((section(".data.image"))) = {.end = 0};

enum { AT_NULL, AT_PHDR = 3, AT_PHENT = 4, AT_PHNUM = 5, AT_PAGESZ = 6, AT_BASE = 7, AT_FLAGS = 8, AT_ENTRY = 9,
       AT_UID = 11, AT_EUID = 12, AT_GID = 13, AT_EGID = 14, AT_PLATFORM = 15, AT_HWCAP = 16, AT_CLKTCK = 17,
       AT_SECURE = 23, AT_RANDOM = 25, AT_HWCAP2 = 26, AT_EXECFN = 31 };

static u64 push(u64 stack, const void *from, u64 n) {
  stack -= n;
  memcpy((void *)stack, from, n);
  return stack;
}

/* The processor's feature word, as the kernel gives it in AT_HWCAP. */
static u64 processor_features(void) {
  u32 a = 1, b, c = 0, d;
  __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  return d;
}

/* Lays out what the System V ABI promises to a new program: strings, auxiliary vector, environment, arguments. */
static u64 first_stack(u64 stack) {
  u64 argc = shared->boot.argc, envc = shared->boot.envc;
  u64 random[2];
  stack = push(stack, "x86_64", 7);
  u64 platform = stack;
  random_fill((u8 *)random, sizeof random);
  stack = push(stack, random, sizeof random);
  u64 random_at = stack;
  stack = push(stack, (void *)RAM_BASE, shared->boot.arguments);
  const char *string = (const char *)stack;
  const u64 auxiliary[] = {
      AT_PHDR, image.program_headers, AT_PHENT, 56, AT_PHNUM, image.program_header_count, AT_PAGESZ, PAGE,
      AT_BASE, image.interpreter_base, AT_FLAGS, 0, AT_ENTRY, image.program_entry, AT_UID, 0, AT_EUID, 0, AT_GID, 0,
      AT_EGID, 0, AT_PLATFORM, platform, AT_HWCAP, processor_features(), AT_CLKTCK, 100, AT_SECURE, 0,
      AT_RANDOM, random_at, AT_HWCAP2, 2, AT_EXECFN, image.program_name, AT_NULL, 0};
  u64 words = 1 + argc + 1 + envc + 1 + sizeof auxiliary / 8;
  u64 *out = (u64 *)((stack - words * 8) & ~15UL);
  u64 start = (u64)out;
  *out++ = argc;
  for (u64 i = 0; i < argc; i++, string += strlen(string) + 1) *out++ = (u64)string;
  *out++ = 0;
  for (u64 i = 0; i < envc; i++, string += strlen(string) + 1) *out++ = (u64)string;
  *out++ = 0;
  memcpy(out, auxiliary, sizeof auxiliary);
  return start;
}

_Noreturn void boot(void) {
  memory_start();
  time_start();
  threads_start();
  tree_start();
  tmpfs_start();
  devices_start();
  u64 pages = minimum(STACK_PAGES, shared->boot.memory / PAGE / 8);
  struct frame frame = {.rip = image.interpreter, .cs = USER_CS, .rflags = USER_FLAGS, .ss = USER_SS};
  frame.rsp = first_stack(stack_take(pages));
  struct frame *first = (struct frame *)(current->stack_top - sizeof frame);
  *first = frame;
  enter_user(first);
}
