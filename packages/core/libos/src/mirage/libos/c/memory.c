#include "memory.h"

#include "entry.h"

static u8 *state;    /* one octet for each page of the memory */
static u64 count;    /* pages in all */
static u64 used;     /* pages taken */
static u64 top;      /* no free page at or above this index */
static u64 brk_low, brk_now; /* addresses */

/* Pages of the memory are numbered from 0. */
static u64 index_of(u64 address) { return (address - RAM_BASE) / PAGE; }
static u64 address_of(u64 index) { return RAM_BASE + index * PAGE; }
bool in_ram(u64 address, u64 n) {
  return address >= RAM_BASE && n <= count * PAGE && address - RAM_BASE <= count * PAGE - n;
}
bool in_files(u64 address, u64 n) {
  return address >= image.files && n <= image.end - image.files && address - image.files <= image.end - image.files - n;
}
static u8 *image_state(u64 address) { return (u8 *)image.protections + (address - IMAGE_BASE) / PAGE; }

/* ---- In ring 0 ---------------------------------------------------------------------------------------------------- */

enum { PTE_PRESENT = 1, PTE_WRITE = 2, PTE_USER = 4, PTE_ACCESSED = 0x20, PTE_DIRTY = 0x40, PTE_LARGE = 0x80 };
#define PTE_NO_EXECUTE (1UL << 63)
#define LARGE_PAGE (512UL * PAGE)

/* The bits of an entry by protection; 0 for what is refused. In read-only memory, so ring 3 cannot change it. */
#define PTE_DATA (PTE_USER | PTE_ACCESSED | PTE_DIRTY | PTE_NO_EXECUTE)
#define PTE_CODE (PTE_USER | PTE_ACCESSED | PTE_DIRTY | PTE_PRESENT)
static const u64 page_flags[8] = {
    [0] = PTE_DATA,
    [PROT_R >> 4] = PTE_DATA | PTE_PRESENT,
    [PROT_W >> 4] = PTE_DATA | PTE_PRESENT | PTE_WRITE,
    [(PROT_R | PROT_W) >> 4] = PTE_DATA | PTE_PRESENT | PTE_WRITE,
    [PROT_X >> 4] = PTE_CODE,
    [(PROT_R | PROT_X) >> 4] = PTE_CODE,
};

/* On kvm_pvm ring 0 is emulated, at a microsecond for each instruction: one addition and one store for each page. */
static void fill(u64 *entry, u64 value, u64 n) {
  for (; n >= 16; n -= 16, entry += 16) {
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++, value += PAGE) entry[i] = value;
  }
  for (; n; n--, value += PAGE) *entry++ = value;
}

/* Pages of the image's files. Their page tables are all there, also where the directory has a large page instead. */
static void change_files(const struct header *header, u64 address, u64 pages, u64 flags) {
  u64 *entry = (u64 *)header->page_tables + (address - IMAGE_BASE) / PAGE;
  u64 *directory = (u64 *)header->directory + (address - IMAGE_BASE) / LARGE_PAGE;
  for (u64 at = address & -LARGE_PAGE; at < address + pages * PAGE; at += LARGE_PAGE, directory++)
    if (*directory & PTE_LARGE)
      *directory = (header->page_tables + (at - IMAGE_BASE) / PAGE * 8) | PTE_PRESENT | PTE_WRITE | PTE_USER;
  fill(entry, address | flags, pages);
}

/* Pages of the memory; refuses others. A whole large page changes as one, whether it was split before or not. Not a part
 * of its caller, which saves registers for it that the common case, one page of a file, has no use for. */
__attribute__((noinline)) static i64 change_memory(u64 address, u64 pages, u64 flags) {
  u64 memory = *(volatile u64 *)TABLES_BASE; /* the tender's word */
  if (address < RAM_BASE || address - RAM_BASE >= memory) return -EINVAL;
  if (pages > (memory - (address - RAM_BASE)) / PAGE) return -EINVAL;
  u64 directories = (memory + (1UL << 30) - 1) >> 30;
  while (pages) {
    u64 region = (address - RAM_BASE) / LARGE_PAGE, first = address % LARGE_PAGE / PAGE;
    u64 n = minimum(512 - first, pages);
    u64 *directory = (u64 *)(TABLES_BASE + PAGE) + region;
    if (n == 512) {
      *directory = address | flags | PTE_LARGE;
    } else {
      u64 *table = (u64 *)(TABLES_BASE + PAGE * (1 + directories + region)), old = *directory;
      if (old & PTE_LARGE) fill(table, old & ~(u64)PTE_LARGE, 512);
      fill(table + first, address | flags, n);
      if (old & PTE_LARGE) *directory = (u64)table | PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_ACCESSED;
    }
    address += n * PAGE;
    pages -= n;
  }
  return 0;
}

/* Called by the gate in entry.S, in ring 0, on the interrupt stack. Refuses what would break W^X, and any page but the
 * files' and the memory's: their bounds are read where ring 3 cannot write them. */
i64 change_protection(u64 address, u64 pages, u64 protection) {
  const struct header *header = (const struct header *)HEADER_ADDRESS;
  u64 flags = page_flags[protection >> 4 & 7];
  if (!flags) return -EACCES;
  if (address % PAGE) return -EINVAL;
  if (address >= header->files && address < header->end && pages <= (header->end - address) / PAGE) {
    change_files(header, address, pages, flags);
  } else {
    i64 result = change_memory(address, pages, flags);
    if (result) return result;
  }
  if (pages == 1) {
    __asm__ volatile("invlpg (%0)" ::"r"(address) : "memory");
  } else {
    u64 tables;
    __asm__ volatile("mov %%cr3, %0; mov %0, %%cr3" : "=&r"(tables)::"memory");
  }
  return 0;
}

/* ---- Pages of the memory ------------------------------------------------------------------------------------------ */

void memory_start(void) {
  /* The array lies at the low end of the memory it describes, after the arguments that the tender left there. */
  u64 arguments = pages_of(shared->boot.arguments);
  count = shared->boot.memory / PAGE;
  state = (u8 *)address_of(arguments);
  u64 taken = arguments + pages_of(count);
  for (u64 i = 0; i < count; i += 8) *(u64 *)(state + i) = 0x0101010101010101UL * (PROT_R | PROT_W);
  for (u64 i = 0; i < taken; i++) state[i] |= PAGE_USED | PAGE_DIRTY;
  used = taken;
  top = count;
  brk_low = brk_now = address_of(taken);
}

u64 pages_free(void) { return count - used; }
u64 pages_total(void) { return count; }

/* Gives a range of pages one protection, with as few trips through the gate as possible. */
i64 pages_protect(u64 address, u64 pages, u8 protection) {
  bool memory = in_ram(address, pages * PAGE);
  u8 *s = memory ? state + index_of(address) : image_state(address);
  for (u64 i = 0; i < pages;) {
    u8 before = s[i] & PROT_ALL;
    u64 end = i;
    while (end < pages && (s[end] & PROT_ALL) == before) end++;
    if (before != protection) {
      u64 from = address + i * PAGE;
      for (u64 at = i; at < end; at++) s[at] = (s[at] & ~PROT_ALL) | protection;
      if (!memory && before == (PROT_R | PROT_W) && protection == PROT_R) {
        protection_seal((from - IMAGE_BASE) / PAGE, end - i, from);
      } else {
        i64 result = protection_gate(from, end - i, protection);
        if (result) return result;
      }
    }
    i = end;
  }
  return 0;
}

void pages_open(u64 address, u64 n, u8 *kept) {
  const u8 *s = state + index_of(address);
  for (u64 i = 0; kept && i < n; i++) kept[i] = s[i] & PROT_ALL;
  pages_protect(address, n, PROT_R | PROT_W);
}

void pages_close(u64 address, u64 n, const u8 *kept) {
  for (u64 i = 0; i < n; i++) pages_protect(address + i * PAGE, 1, kept[i]);
}

u8 page_protection(u64 address) {
  if (in_ram(address, PAGE)) return state[index_of(address)] & PAGE_USED ? state[index_of(address)] & PROT_ALL : 0;
  return in_files(address, PAGE) ? *image_state(address) & PROT_ALL : 0;
}

bool pages_all(u64 address, u64 n, bool used_ones) {
  for (u64 i = index_of(address); i < index_of(address) + n; i++)
    if (!(state[i] & PAGE_USED) == used_ones) return false;
  return true;
}

void pages_claim(u64 address, u64 n) {
  u64 first = index_of(address);
  pages_protect(address, n, PROT_R | PROT_W);
  for (u64 i = first; i < first + n;) {
    u64 end = i;
    while (end < first + n && (state[end] & PAGE_DIRTY)) end++;
    if (end > i) memset((void *)address_of(i), 0, (end - i) * PAGE);
    for (; i < end; i++) {
      used += !(state[i] & PAGE_USED);
      state[i] |= PAGE_USED;
    }
    for (; i < first + n && !(state[i] & PAGE_DIRTY); i++) {
      used += !(state[i] & PAGE_USED);
      state[i] |= PAGE_USED | PAGE_DIRTY;
    }
  }
}

u64 pages_find(u64 n) {
  if (n > count - used) return 0;
  u64 low = index_of(brk_now + PAGE - 1);
  while (top > low && (state[top - 1] & PAGE_USED)) top--;
  u64 run = 0;
  for (u64 i = top; i > low;) {
    i--;
    if (state[i] & PAGE_USED)
      run = 0;
    else if (++run == n)
      return address_of(i);
  }
  return 0;
}

u64 pages_take(u64 n) {
  if (!n) return 0;
  u64 address = pages_find(n);
  if (address) pages_claim(address, n);
  return address;
}

void pages_give(u64 address, u64 n) {
  u64 first = index_of(address);
  for (u64 i = first; i < first + n; i++) {
    used -= state[i] & PAGE_USED;
    state[i] &= ~PAGE_USED;
  }
  if (top < first + n) top = first + n;
}

u64 stack_take(u64 n) {
  u64 base = pages_take(n + 1);
  if (!base) return 0;
  pages_protect(base, 1, 0);
  return base + (n + 1) * PAGE;
}

void *pool_take(struct pool *pool) {
  if (!pool->free) {
    u64 page = pages_take(pages_of(pool->size));
    if (!page) return 0;
    u64 room = pages_of(pool->size) * PAGE;
    for (u64 at = 0; at + pool->size <= room; at += pool->size) {
      *(void **)(page + at) = pool->free;
      pool->free = (void *)(page + at);
    }
  }
  void *object = pool->free;
  pool->free = *(void **)object;
  memset(object, 0, pool->size);
  return object;
}

void pool_give(struct pool *pool, void *object) {
  *(void **)object = pool->free;
  pool->free = object;
}

/* ---- Pointers of the application ------------------------------------------------------------------------------------ */

static bool may(u64 address, u64 n, u8 need) {
  if (!n) return true;
  if (address + n < address) return false;
  u64 first = address & ~(PAGE - 1UL), pages = (address + n - first + PAGE - 1) / PAGE;
  const u8 *s;
  if (in_ram(address, n)) {
    s = state + index_of(first);
    need |= PAGE_USED;
  } else if (in_files(address, n)) {
    s = image_state(first);
  } else {
    return false;
  }
  for (u64 i = 0; i < pages; i++)
    if ((s[i] & need) != need) return false;
  return true;
}

bool may_read(u64 address, u64 n) { return may(address, n, PROT_R); }
bool may_write(u64 address, u64 n) { return may(address, n, PROT_W); }

i64 copy_string(u64 address, char *to, u64 room) {
  for (u64 i = 0; i < room; i++) {
    if ((i == 0 || (address + i) % PAGE == 0) && !may_read(address + i, 1)) return -EFAULT;
    to[i] = ((const char *)address)[i];
    if (!to[i]) return i;
  }
  return -ENAMETOOLONG;
}

/* ---- The program's break -------------------------------------------------------------------------------------------- */

u64 brk_end(void) { return brk_now; }

i64 sys_brk(const u64 *a) {
  u64 wanted = a[0];
  if (wanted < brk_low || !in_ram(wanted, 0)) return brk_now;
  u64 from = index_of(brk_now + PAGE - 1), to = index_of(wanted + PAGE - 1);
  for (u64 i = from; i < to; i++)
    if (i >= count || (state[i] & PAGE_USED)) return brk_now;
  if (to > from) pages_claim(address_of(from), to - from);
  if (to < from) pages_give(address_of(to), from - to);
  if (wanted < brk_now) memset((void *)wanted, 0, minimum(brk_now, address_of(to)) - wanted);
  return brk_now = wanted;
}
