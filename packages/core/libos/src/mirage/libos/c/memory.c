#include "memory.h"

#include "entry.h"
#include "files.h"

static u8 *state;    /* one octet for each page of the memory */
static u64 count;    /* pages in all */
static u64 used;     /* pages taken */
static u64 top;      /* no free page at or above this index */
static u64 brk_low, brk_now; /* addresses */

static u64 index_of(u64 address) { return (address - RAM_BASE) / PAGE; }
static u64 address_of(u64 index) { return RAM_BASE + index * PAGE; }
static bool in_ram(u64 address, u64 n) {
  return address >= RAM_BASE && n <= count * PAGE && address - RAM_BASE <= count * PAGE - n;
}
static bool in_files(u64 address, u64 n) {
  return address >= image.files && n <= image.end - image.files && address - image.files <= image.end - image.files - n;
}
static u8 *image_state(u64 address) { return (u8 *)image.protections + (address - IMAGE_BASE) / PAGE; }

/* ---- In ring 0 ---------------------------------------------------------------------------------------------------- */

enum { PTE_PRESENT = 1, PTE_WRITE = 2, PTE_USER = 4, PTE_ACCESSED = 0x20, PTE_DIRTY = 0x40, PTE_LARGE = 0x80 };
#define PTE_NO_EXECUTE (1UL << 63)
#define PTE_ADDRESS 0x000FFFFFFFFFF000UL
#define LARGE_PAGE (512UL * PAGE)

/* The page-table entry of an address whose protection may be changed, else 0. A large page is split first. */
static u64 *table_entry(u64 address) {
  const struct header *header = (const struct header *)HEADER_ADDRESS;
  if (address >= header->files && address < header->end)
    return (u64 *)header->page_tables + (address - IMAGE_BASE) / PAGE;
  u64 memory = *(volatile u64 *)TABLES_BASE; /* the tender's word, where ring 3 cannot write it */
  if (address < RAM_BASE || address - RAM_BASE >= memory) return 0;
  u64 region = (address - RAM_BASE) / LARGE_PAGE;
  u64 directories = (memory + (1UL << 30) - 1) >> 30;
  u64 *directory = (u64 *)(TABLES_BASE + PAGE) + region;
  u64 *table = (u64 *)(TABLES_BASE + PAGE * (1 + directories + region));
  if (*directory & PTE_LARGE) {
    u64 flags = *directory & (PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_ACCESSED | PTE_DIRTY | PTE_NO_EXECUTE);
    for (u64 i = 0; i < 512; i++) table[i] = (RAM_BASE + region * LARGE_PAGE + i * PAGE) | flags;
    *directory = (u64)table | PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_ACCESSED;
  }
  return table + (address - RAM_BASE) % LARGE_PAGE / PAGE;
}

/* Called by the gate in entry.S, in ring 0, on the interrupt stack. Refuses what would break W^X. */
i64 change_protection(u64 address, u64 pages, u64 protection) {
  if ((protection & PROT_W) && (protection & PROT_X)) return -EACCES;
  u64 flags = PTE_USER | PTE_ACCESSED | PTE_DIRTY | PTE_NO_EXECUTE;
  if (protection & PROT_ALL) flags |= PTE_PRESENT;
  if (protection & PROT_W) flags |= PTE_WRITE;
  if (protection & PROT_X) flags &= ~PTE_NO_EXECUTE;
  i64 result = 0;
  for (u64 i = 0; i < pages; i++) {
    u64 *entry = table_entry(address + i * PAGE);
    if (!entry) {
      result = -EINVAL;
      break;
    }
    *entry = (address + i * PAGE) | flags;
    if (pages <= 8) __asm__ volatile("invlpg (%0)" ::"r"(address + i * PAGE) : "memory");
  }
  if (pages > 8) {
    u64 tables;
    __asm__ volatile("mov %%cr3, %0; mov %0, %%cr3" : "=&r"(tables)::"memory");
  }
  return result;
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

/* Gives a range of pages one protection, with as few trips through the gate as possible. */
static i64 protect(u64 address, u64 pages, u8 protection) {
  u8 *s = in_ram(address, pages * PAGE) ? state + index_of(address) : image_state(address);
  for (u64 i = 0; i < pages;) {
    if ((s[i] & PROT_ALL) == protection) {
      i++;
      continue;
    }
    u64 end = i;
    while (end < pages && (s[end] & PROT_ALL) != protection) {
      s[end] = (s[end] & ~PROT_ALL) | protection;
      end++;
    }
    i64 result = protection_gate(address + i * PAGE, end - i, protection);
    if (result) return result;
    i = end;
  }
  return 0;
}

/* Makes pages used, writable and zero. */
static void claim(u64 first, u64 n) {
  protect(address_of(first), n, PROT_R | PROT_W);
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

/* The highest run of n free pages; `count` when there is none. */
static u64 find(u64 n) {
  u64 low = index_of(brk_now + PAGE - 1);
  while (top > low && (state[top - 1] & PAGE_USED)) top--;
  u64 run = 0;
  for (u64 i = top; i > low;) {
    i--;
    if (state[i] & PAGE_USED)
      run = 0;
    else if (++run == n)
      return i;
  }
  return count;
}

u64 pages_take(u64 n) {
  if (!n || n > count - used) return 0;
  u64 first = find(n);
  if (first == count) return 0;
  claim(first, n);
  return address_of(first);
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
  protect(base, 1, 0);
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

/* ---- System calls --------------------------------------------------------------------------------------------------- */

enum { MAP_SHARED = 1, MAP_PRIVATE = 2, MAP_FIXED = 0x10, MAP_ANONYMOUS = 0x20, MAP_DENYWRITE = 0x800,
       MAP_FIXED_NOREPLACE = 0x100000 };
enum { MREMAP_MAYMOVE = 1, MREMAP_FIXED = 2, MADV_DONTNEED = 4, MADV_FREE = 8 };

/* PROT_READ, PROT_WRITE, PROT_EXEC as our bits. Writing and executing imply reading. */
static u8 protection_of(u64 prot) {
  u8 bits = 0;
  if (prot & 7) bits |= PROT_R;
  if (prot & 2) bits |= PROT_W;
  if (prot & 4) bits |= PROT_X;
  return bits;
}

static bool writable_and_executable(u64 prot) { return (prot & 6) == 6; }

i64 sys_mmap(const u64 *a) {
  u64 address = a[0], n = pages_of(a[1]), flags = a[3], offset = a[5];
  u8 protection = protection_of(a[2]);
  bool fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
  struct file *file = 0;
  if (!a[1] || a[1] > RAM_LIMIT || offset % PAGE || (fixed && address % PAGE)) return -EINVAL;
  if (!(flags & (MAP_SHARED | MAP_PRIVATE))) return -EINVAL;
  if (writable_and_executable(a[2])) return -EACCES;
  if (!(flags & MAP_ANONYMOUS)) {
    file = file_of(a[4]);
    if (!file) return -EBADF;
    if (!file_is_regular(file)) return -ENODEV;
    if ((flags & MAP_SHARED) && (a[2] & 2)) return -ENODEV;
    /* ld.so maps a shared library: it lies in the image, at its final place, with its final protection. */
    if (!fixed && (flags & MAP_DENYWRITE)) {
      i64 laid_out = file_laid_out(file, offset);
      if (laid_out) return laid_out;
    }
  }
  if (fixed && in_files(address, n * PAGE)) return address; /* a further segment of such a library */
  u64 first;
  if (fixed) {
    if (!in_ram(address, n * PAGE)) return -ENOMEM;
    first = index_of(address);
    if (address < brk_now) return -ENOMEM;
    if (flags & MAP_FIXED_NOREPLACE)
      for (u64 i = first; i < first + n; i++)
        if (state[i] & PAGE_USED) return -EEXIST;
  } else {
    if (file && !(a[2] & 2)) { /* never written, so no copy is needed */
      u64 in_place = file_in_place(file, offset, n * PAGE);
      if (in_place) return in_place;
    }
    if (n > count - used || (first = find(n)) == count) return -ENOMEM;
  }
  claim(first, n);
  address = address_of(first);
  if (file) file_copy(file, (void *)address, a[1], offset);
  i64 result = protect(address, n, protection);
  return result ? result : (i64)address;
}

i64 sys_munmap(const u64 *a) {
  u64 n = pages_of(a[1]);
  if (a[0] % PAGE || !a[1]) return -EINVAL;
  if (in_files(a[0], n * PAGE)) return 0; /* the image stays */
  if (!in_ram(a[0], n * PAGE) || a[0] < brk_now) return -EINVAL;
  pages_give(a[0], n);
  return 0;
}

i64 sys_mprotect(const u64 *a) {
  u64 n = pages_of(a[1]);
  if (a[0] % PAGE) return -EINVAL;
  if (!n) return 0;
  if (writable_and_executable(a[2])) return -EACCES;
  if (in_files(a[0], n * PAGE)) {
    /* RELRO, and other narrowing. What the image maps read-only for good never becomes writable. */
    const u8 *s = image_state(a[0]);
    for (u64 i = 0; i < n; i++)
      if (protection_of(a[2]) & ~s[i] & (PROT_W | PROT_X)) return -EACCES;
    return protect(a[0], n, protection_of(a[2]));
  }
  if (!in_ram(a[0], n * PAGE)) return -ENOMEM;
  for (u64 i = index_of(a[0]); i < index_of(a[0]) + n; i++)
    if (!(state[i] & PAGE_USED)) return -ENOMEM;
  return protect(a[0], n, protection_of(a[2]));
}

i64 sys_mremap(const u64 *a) {
  u64 old = pages_of(a[1]), new = pages_of(a[2]), first = index_of(a[0]);
  if (a[0] % PAGE || !new || a[2] > RAM_LIMIT || (a[3] & ~MREMAP_MAYMOVE)) return -EINVAL;
  if (!in_ram(a[0], old * PAGE) || a[0] < brk_now) return -EFAULT;
  if (new <= old) {
    pages_give(a[0] + new * PAGE, old - new);
    return a[0];
  }
  bool room = first + new <= count;
  for (u64 i = first + old; room && i < first + new; i++) room = !(state[i] & PAGE_USED);
  if (room) {
    claim(first + old, new - old);
    return a[0];
  }
  if (!(a[3] & MREMAP_MAYMOVE)) return -ENOMEM;
  u64 moved = pages_take(new);
  if (!moved) return -ENOMEM;
  if (!may_read(a[0], old * PAGE)) {
    pages_give(moved, new);
    return -EFAULT;
  }
  memcpy((void *)moved, (void *)a[0], old * PAGE);
  pages_give(a[0], old);
  return moved;
}

i64 sys_madvise(const u64 *a) {
  u64 n = pages_of(a[1]);
  if (a[0] % PAGE) return -EINVAL;
  if (a[2] != MADV_DONTNEED && a[2] != MADV_FREE) return 0;
  if (!may_write(a[0], n * PAGE)) return in_ram(a[0], n * PAGE) || in_files(a[0], n * PAGE) ? 0 : -ENOMEM;
  if (in_ram(a[0], n * PAGE) && a[2] == MADV_DONTNEED) memset((void *)a[0], 0, n * PAGE);
  return 0;
}

i64 sys_brk(const u64 *a) {
  u64 wanted = a[0];
  if (wanted < brk_low || !in_ram(wanted, 0)) return brk_now;
  u64 from = index_of(brk_now + PAGE - 1), to = index_of(wanted + PAGE - 1);
  for (u64 i = from; i < to; i++)
    if (i >= count || (state[i] & PAGE_USED)) return brk_now;
  if (to > from) claim(from, to - from);
  if (to < from) pages_give(address_of(to), from - to);
  if (wanted < brk_now) memset((void *)wanted, 0, minimum(brk_now, address_of(to)) - wanted);
  return brk_now = wanted;
}

i64 sys_msync(const u64 *a) { return a[0] % PAGE ? -EINVAL : 0; }

i64 sys_mlock(const u64 *a) { return (void)a, 0; }
