/* Pages: who uses them, what they hold, how they are protected.
 *
 * The memory at RAM_BASE is one array of pages; `brk` grows from its low end, everything else is taken from its high
 * end downwards. One octet says what is known of each page. Nothing is both writable and executable (W^X). */
#ifndef MEMORY_H
#define MEMORY_H

#include "base.h"

enum { PAGE_USED = 1, PAGE_DIRTY = 2, PROT_R = 0x10, PROT_W = 0x20, PROT_X = 0x40, PROT_ALL = 0x70 };

void memory_start(void);

/* Zeroed pages that are readable and writable, or 0 when there are none. */
u64 pages_take(u64 count);
void pages_give(u64 address, u64 count);
u64 pages_free(void);
/* The first stack of the application: an unreachable page lies below it. Returns one past its end. */
u64 stack_take(u64 count);

/* Whether the application may read (or write) n octets there. Every pointer from the application is checked so. */
bool may_read(u64 address, u64 n);
bool may_write(u64 address, u64 n);
/* Copies a string of the application; -EFAULT, or -ENAMETOOLONG when it has no NUL within `room`. */
i64 copy_string(u64 address, char *to, u64 room);

i64 sys_mmap(const u64 *a);
i64 sys_mprotect(const u64 *a);
i64 sys_munmap(const u64 *a);
i64 sys_mremap(const u64 *a);
i64 sys_madvise(const u64 *a);
i64 sys_brk(const u64 *a);
i64 sys_msync(const u64 *a);
i64 sys_mlock(const u64 *a);

/* Equal-sized objects out of pages, for the library OS itself. */
struct pool {
  u64 size;
  void *free;
};
void *pool_take(struct pool *pool); /* zeroed; 0 when memory has run out */
void pool_give(struct pool *pool, void *object);

#endif
