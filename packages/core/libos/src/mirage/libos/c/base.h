/* Types, error numbers and the few string functions of a freestanding program. */
#ifndef BASE_H
#define BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t i32;
typedef int64_t i64;

enum {
  EPERM = 1, ENOENT = 2, ESRCH = 3, EINTR = 4, EIO = 5, EBADF = 9, ECHILD = 10, EAGAIN = 11, ENOMEM = 12,
  EACCES = 13, EFAULT = 14, EBUSY = 16, EEXIST = 17, EXDEV = 18, ENODEV = 19, ENOTDIR = 20, EISDIR = 21, EINVAL = 22,
  EMFILE = 24, ENOTTY = 25, EFBIG = 27, ENOSPC = 28, ESPIPE = 29, EROFS = 30, EPIPE = 32, ERANGE = 34,
  ENAMETOOLONG = 36, ENOSYS = 38, ENOTEMPTY = 39, ELOOP = 40, EOVERFLOW = 75, EOPNOTSUPP = 95, EAFNOSUPPORT = 97,
  ETIMEDOUT = 110,
};

#define NANOSECONDS 1000000000L
#define FOREVER INT64_MAX

/* The frame that every entry into the library OS leaves on its stack; `iretq` takes the last five. */
struct frame {
  u64 r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
  u64 vector, error, rip, cs, rflags, rsp, ss;
};

/* What the tender tells the library OS at boot, and again when a snapshot is resumed. */
struct boot {
  u64 memory;        /* octets at RAM_BASE */
  u64 image;         /* octets at IMAGE_BASE */
  u64 arguments;     /* octets of NUL-ended strings at RAM_BASE: argv, then the environment */
  u64 argc, envc;
  u64 tsc_khz;
  u64 tsc_start;     /* the time-stamp counter when the two clocks below were read */
  u64 monotonic;     /* nanoseconds */
  u64 realtime;      /* nanoseconds since 1970 */
  u64 log_unknown;   /* report unsupported system calls through CALL_UNKNOWN */
  u64 resumed;       /* how often this guest has been resumed from a snapshot */
  u8 entropy[64];    /* from the host, fresh for each boot and each resume */
};

/* The shared page. Its offsets are those of layout.h. */
struct shared {
  u64 stack;
  volatile u64 pending;
  struct { u64 vector, error, rip, cs, rflags, rsp, cr2, spare; } trap;
  struct { u64 argument[5]; i64 result; } call;
  volatile u64 signals;
  u8 gap[SHARED_BOOT - SHARED_SIGNALS - 8];
  volatile struct boot boot;
};
_Static_assert(offsetof(struct shared, trap) == SHARED_TRAP, "layout.h");
_Static_assert(offsetof(struct shared, call) == SHARED_CALL, "layout.h");
_Static_assert(offsetof(struct shared, signals) == SHARED_SIGNALS, "layout.h");
_Static_assert(offsetof(struct shared, boot) == SHARED_BOOT, "layout.h");

_Static_assert(offsetof(struct shared, boot) + sizeof(struct boot) <= SHARED_DEVICES, "layout.h");

/* The header of the image. Ring 3 cannot read it: the library OS gets a copy of what it needs in `struct image`. */
struct header {
  u8 magic[16];
  u64 page_tables;   /* address of the page tables of the image, one after the other */
  u64 files, end;    /* the part of the image whose protection may be changed */
  u64 directory;     /* one entry for each 2 MiB of the image: a page of that size, or one of the page tables */
  u64 first_page, end_page; /* files and end as numbers of pages, counted from IMAGE_BASE */
};
_Static_assert(offsetof(struct header, page_tables) == HEADER_TABLES, "layout.h");
_Static_assert(offsetof(struct header, first_page) == HEADER_FIRST_PAGE, "layout.h");
_Static_assert(offsetof(struct header, end_page) == HEADER_END_PAGE, "layout.h");

#define shared ((struct shared *)SHARED_ADDRESS)

static inline i64 hypercall(u16 port, u64 a, u64 b, u64 c) {
  shared->call.argument[0] = a;
  shared->call.argument[1] = b;
  shared->call.argument[2] = c;
  __asm__ volatile("outl %0, %1" ::"a"(0), "Nd"(port) : "memory");
  return shared->call.result;
}

void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int value, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *text);
int strcmp(const char *a, const char *b);
bool starts_with(const char *text, const char *prefix);

/* Writes text on the console: for the library OS's own last words. */
void say(const char *text);

static inline u64 minimum(u64 a, u64 b) { return a < b ? a : b; }
static inline u64 pages_of(u64 octets) { return (octets + PAGE - 1) / PAGE; }

#endif
