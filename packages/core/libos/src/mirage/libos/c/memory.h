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
u64 pages_total(void);
/* The first stack of the application: an unreachable page lies below it. Returns one past its end. */
u64 stack_take(u64 count);

/* Whether n octets lie in the memory; among the image's files. */
bool in_ram(u64 address, u64 n);
bool in_files(u64 address, u64 n);

/* The parts that mmap and its family are made of. Addresses are those of pages. */
u64 pages_find(u64 count);                    /* the highest run of free pages, 0 when there is none */
void pages_claim(u64 address, u64 count);     /* makes pages of the memory used, writable and zero */
bool pages_all(u64 address, u64 count, bool used);
/* Gives a range of pages one protection, with as few trips through the gate as possible. */
i64 pages_protect(u64 address, u64 count, u8 protection);
u8 page_protection(u64 address);              /* 0 for a page that is not used */
/* Makes pages readable and writable for the library OS itself, and as they were. `kept` may be missing. */
void pages_open(u64 address, u64 count, u8 *kept);
void pages_close(u64 address, u64 count, const u8 *kept);
u64 brk_end(void);

/* Whether the application may read (or write) n octets there. Every pointer from the application is checked so. */
bool may_read(u64 address, u64 n);
bool may_write(u64 address, u64 n);
/* Copies a string of the application; -EFAULT, or -ENAMETOOLONG when it has no NUL within `room`. */
i64 copy_string(u64 address, char *to, u64 room);

i64 sys_brk(const u64 *a);

/* Equal-sized objects out of pages, for the library OS itself. */
struct pool {
  u64 size;
  void *free;
};
void *pool_take(struct pool *pool); /* zeroed; 0 when memory has run out */
void pool_give(struct pool *pool, void *object);

#endif
