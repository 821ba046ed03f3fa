#include "maps.h"

#include "files.h"
#include "memory.h"
#include "tmpfs.h"
#include "tree.h"

enum { MAP_SHARED = 1, MAP_PRIVATE = 2, MAP_SHARED_VALIDATE = 3, MAP_TYPE = 15, MAP_FIXED = 0x10, MAP_ANONYMOUS = 0x20,
       MAP_DENYWRITE = 0x800, MAP_FIXED_NOREPLACE = 0x100000 };
enum { MREMAP_MAYMOVE = 1, MADV_DONTNEED = 4, MADV_FREE = 8, MS_ASYNC = 1, MS_INVALIDATE = 2, MS_SYNC = 4 };

/* PROT_READ, PROT_WRITE, PROT_EXEC as our bits. Writing and executing imply reading. */
static u8 protection_of(u64 prot) {
  u8 bits = 0;
  if (prot & 7) bits |= PROT_R;
  if (prot & 2) bits |= PROT_W;
  if (prot & 4) bits |= PROT_X;
  return bits;
}

static bool writable_and_executable(u64 prot) { return (prot & 6) == 6; }

/* ---- Shared maps of files ---------------------------------------------------------------------------------------------- */

/* A part of a file of a memory file system, mapped shared: its pages are the file's own, so two maps of one part have
 * one address, and what one may do the other may too. */
struct map {
  struct map *next;
  struct file *file;
  u64 address, pages, offset;
};
static struct pool map_pool = {sizeof(struct map), 0};
static struct map *maps;

static struct map *map_at(u64 address) {
  for (struct map *map = maps; map; map = map->next)
    if (address - map->address < map->pages * PAGE) return map;
  return 0;
}

/* The map that is exactly this, for of two maps of one part only one must go; else one that holds the address. */
static struct map *map_like(u64 address, u64 pages) {
  for (struct map *map = maps; map; map = map->next)
    if (map->address == address && map->pages == pages) return map;
  return map_at(address);
}

static bool maps_overlap(u64 address, u64 pages) {
  for (struct map *map = maps; map; map = map->next)
    if (address < map->address + map->pages * PAGE && map->address < address + pages * PAGE) return true;
  return false;
}

/* Records a map of pages that tmpfs_map has pinned. */
static struct map *map_new(struct file *file, u64 address, u64 pages, u64 offset) {
  struct map *map = pool_take(&map_pool);
  if (!map) return 0;
  *map = (struct map){maps, file, address, pages, offset};
  file->references++;
  return maps = map;
}

static void map_drop(struct map *map) {
  struct map **at = &maps;
  while (*at != map) at = &(*at)->next;
  *at = map->next;
  tmpfs_unmap(map->file, map->address);
  file_drop(map->file);
  pool_give(&map_pool, map);
}

static i64 map_shared(struct file *file, u64 offset, u64 pages, u8 protection) {
  i64 address = tmpfs_map(file, offset, pages);
  if (address < 0) return address;
  u8 wanted = protection;
  for (u64 i = 0; i < pages; i++)
    if (map_at(address + i * PAGE)) wanted |= page_protection(address + i * PAGE);
  bool refused = (wanted & PROT_W) && (wanted & PROT_X);
  if (refused || !map_new(file, address, pages, offset)) {
    tmpfs_unmap(file, address);
    return refused ? -EACCES : -ENOMEM;
  }
  pages_protect(address, pages, wanted);
  return address;
}

/* Takes the part [address, address + pages) out of a map. */
static i64 map_carve(struct map *map, u64 address, u64 pages) {
  u64 before = (address - map->address) / PAGE, after = map->pages - before - pages;
  struct map *rest = 0;
  if (after) {
    u64 offset = map->offset + (before + pages) * PAGE;
    i64 at = before ? tmpfs_map(map->file, offset, after) : 0;
    if (before && (at < 0 || !(rest = map_new(map->file, at, after, offset)))) return -ENOMEM;
    if (!before) {
      map->address += pages * PAGE;
      map->offset += pages * PAGE;
      map->pages = after;
      return 0;
    }
  }
  if (before)
    map->pages = before;
  else
    map_drop(map);
  return 0;
}

/* ---- mmap ---------------------------------------------------------------------------------------------------------------- */

static i64 map_fixed(u64 address, u64 n, u64 flags) {
  if (!in_ram(address, n * PAGE) || address < brk_end()) return -ENOMEM;
  if ((flags & MAP_FIXED_NOREPLACE) && !pages_all(address, n, false)) return -EEXIST;
  if (maps_overlap(address, n)) return -ENOMEM; /* the pages are a file's */
  pages_claim(address, n);
  return address;
}

/* Whether a file may be mapped so: 0, or an error. */
static i64 may_map(struct file *file, u64 prot, u64 flags) {
  if (!file_is_regular(file)) return -ENODEV;
  if ((file->flags & O_ACCMODE) == 1) return -EACCES;
  if ((flags & MAP_SHARED) && (prot & 2) && (file->flags & O_ACCMODE) != 2) return -EACCES;
  return 0;
}

i64 sys_mmap(const u64 *a) {
  u64 n = pages_of(a[1]), flags = a[3], offset = a[5];
  bool fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE), writable = a[2] & 2;
  struct file *file = 0;
  i64 result;
  if (!a[1] || offset % PAGE || (fixed && a[0] % PAGE)) return -EINVAL;
  if (a[1] > RAM_LIMIT) return -ENOMEM;
  if (!(flags & MAP_TYPE) || (flags & MAP_TYPE) > MAP_SHARED_VALIDATE) return -EINVAL;
  if (writable_and_executable(a[2])) return -EACCES;
  if (!(flags & MAP_ANONYMOUS)) {
    if (!(file = file_of(a[4]))) return -EBADF;
    if ((result = may_map(file, a[2], flags))) return result;
    if (offset + n * PAGE < offset) return -EOVERFLOW;
    /* ld.so maps a shared library: it lies in the image, at its final place, with its final protection. */
    if (!fixed && (flags & MAP_DENYWRITE) && (result = tree_laid_out(file, offset))) return result;
  }
  if (fixed && in_files(a[0], n * PAGE)) return a[0]; /* a further segment of such a library */
  if (file && (flags & MAP_SHARED) && tmpfs_has(file))
    return fixed ? -ENODEV : map_shared(file, offset, n, protection_of(a[2]));
  i64 address;
  if (fixed) {
    if ((address = map_fixed(a[0], n, flags)) < 0) return address;
  } else {
    u64 in_place = file && !writable ? tree_in_place(file, offset, n * PAGE) : 0; /* never written: needs no copy */
    if (in_place && !(a[2] & 4)) return in_place;
    if (!(address = pages_take(n))) return -ENOMEM;
  }
  if (file) file->operations->read(file, (u8 *)address, a[1], offset);
  result = pages_protect(address, n, protection_of(a[2]));
  return result ? result : address;
}

i64 sys_munmap(const u64 *a) {
  u64 n = pages_of(a[1]), end = a[0] + n * PAGE;
  if (a[0] % PAGE || !a[1]) return -EINVAL;
  if (in_files(a[0], n * PAGE)) return 0; /* the image stays */
  if (!in_ram(a[0], n * PAGE) || a[0] < brk_end()) return -EINVAL;
  for (u64 at = a[0]; at < end;) {
    struct map *map = map_like(at, (end - at) / PAGE);
    u64 to = at;
    if (map) {
      to = minimum(end, map->address + map->pages * PAGE);
      i64 result = map_carve(map, at, (to - at) / PAGE);
      if (result) return result;
    } else {
      while (to < end && !map_at(to)) to += PAGE;
      pages_give(at, (to - at) / PAGE);
    }
    at = to;
  }
  return 0;
}

i64 sys_mprotect(const u64 *a) {
  u64 n = pages_of(a[1]);
  if (a[0] % PAGE) return -EINVAL;
  if (!n) return 0;
  if (writable_and_executable(a[2])) return -EACCES;
  if (in_files(a[0], n * PAGE)) {
    /* RELRO, and other narrowing. What the image maps read-only for good never becomes writable. */
    for (u64 i = 0; i < n; i++)
      if (protection_of(a[2]) & ~page_protection(a[0] + i * PAGE) & (PROT_W | PROT_X)) return -EACCES;
    return pages_protect(a[0], n, protection_of(a[2]));
  }
  if (!in_ram(a[0], n * PAGE) || !pages_all(a[0], n, true)) return -ENOMEM;
  if (a[2] & 2)
    for (struct map *map = maps; map; map = map->next)
      if (a[0] < map->address + map->pages * PAGE && map->address < a[0] + n * PAGE &&
          (map->file->flags & O_ACCMODE) != 2)
        return -EACCES;
  return pages_protect(a[0], n, protection_of(a[2]));
}

/* A shared map of another size: the file is asked for the pages, and moves them if it must. */
static i64 remap_shared(struct map *map, u64 old, u64 new, bool may_move) {
  struct file *file = map->file;
  u64 address = map->address, offset = map->offset;
  if (map->pages != old) return -EFAULT;
  u8 protection = page_protection(address);
  file->references++;
  map_drop(map);
  i64 moved = map_shared(file, offset, new, protection);
  if (moved < 0 || ((u64)moved != address && !may_move)) {
    if (moved >= 0) map_drop(map_like(moved, new));
    moved = map_shared(file, offset, old, protection) == (i64)address ? -ENOMEM : -EFAULT;
  }
  file_drop(file);
  return moved;
}

i64 sys_mremap(const u64 *a) {
  u64 old = pages_of(a[1]), new = pages_of(a[2]), end = a[0] + old * PAGE;
  if (a[0] % PAGE || !new || !old || (a[3] & ~(u64)MREMAP_MAYMOVE)) return -EINVAL;
  if (a[2] > RAM_LIMIT) return -ENOMEM;
  if (!in_ram(a[0], old * PAGE) || a[0] < brk_end()) return -EFAULT;
  if (new <= old) {
    u64 arguments[] = {end - (old - new) * PAGE, (old - new) * PAGE};
    i64 result = new < old ? sys_munmap(arguments) : 0;
    return result ? result : (i64)a[0];
  }
  struct map *map = map_like(a[0], old);
  if (map) return remap_shared(map, old, new, a[3] & MREMAP_MAYMOVE);
  if (in_ram(end, (new - old) * PAGE) && pages_all(end, new - old, false)) {
    pages_claim(end, new - old);
    return a[0];
  }
  if (!(a[3] & MREMAP_MAYMOVE)) return -ENOMEM;
  if (!may_read(a[0], old * PAGE)) return -EFAULT;
  u64 moved = pages_take(new);
  if (!moved) return -ENOMEM;
  memcpy((void *)moved, (void *)a[0], old * PAGE);
  pages_give(a[0], old);
  return moved;
}

i64 sys_madvise(const u64 *a) {
  u64 n = pages_of(a[1]);
  if (a[0] % PAGE || a[2] > 25) return -EINVAL;
  if (a[2] != MADV_DONTNEED && a[2] != MADV_FREE) return 0;
  if (!may_write(a[0], n * PAGE)) return in_ram(a[0], n * PAGE) || in_files(a[0], n * PAGE) ? 0 : -ENOMEM;
  if (in_ram(a[0], n * PAGE) && a[2] == MADV_DONTNEED && !maps_overlap(a[0], n)) memset((void *)a[0], 0, n * PAGE);
  return 0;
}

static bool is_mapped(u64 address, u64 n) {
  return in_files(address, n * PAGE) || (in_ram(address, n * PAGE) && pages_all(address, n, true));
}

/* A shared map is the file, so there is nothing to write. */
i64 sys_msync(const u64 *a) {
  if (a[0] % PAGE || (a[2] & ~7UL) || (a[2] & (MS_ASYNC | MS_SYNC)) == (MS_ASYNC | MS_SYNC)) return -EINVAL;
  return is_mapped(a[0], pages_of(a[1])) ? 0 : -ENOMEM;
}

i64 sys_mincore(const u64 *a) {
  u64 n = pages_of(a[1]);
  if (a[0] % PAGE) return -EINVAL;
  if (!is_mapped(a[0], n)) return -ENOMEM;
  if (!may_write(a[2], n)) return -EFAULT;
  memset((void *)a[2], 1, n);
  return 0;
}

i64 sys_mlock(const u64 *a) { return (void)a, 0; }
