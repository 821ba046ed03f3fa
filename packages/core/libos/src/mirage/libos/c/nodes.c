#include "nodes.h"

#include "memory.h"
#include "time.h"

/* More is no file but a mistake; the limit on pages comes first anyway. */
#define MOST_OCTETS (1UL << 33)
enum { MOST_AHEAD = 1024 }; /* pages that a growing file takes beyond what it needs */

static struct pool node_pool = {sizeof(struct node), 0}, extent_pool = {sizeof(struct extent), 0};
static u64 inodes;
u64 node_pages_used, node_pages_limit;

bool node_is_directory(const struct node *node) { return (node->mode & S_IFMT) == S_IFDIR; }

struct node *node_new(u32 mode, u32 mount) {
  struct node *node = pool_take(&node_pool);
  if (!node) return 0;
  node->mode = mode;
  node->mount = mount;
  node->inode = ++inodes;
  node->access = node->modify = node->change = realtime();
  return node;
}

static void extent_free(struct node *node, struct extent *extent) {
  node->pages -= extent->pages;
  if (!extent->borrowed) {
    node_pages_used -= extent->pages;
    pages_give(extent->address, extent->pages);
  }
  pool_give(&extent_pool, extent);
}

void node_free(struct node *node) {
  if (node->links || node->open) return;
  while (node->extents) {
    struct extent *first = node->extents;
    node->extents = first->next;
    extent_free(node, first);
  }
  pool_give(&node_pool, node);
}

/* ---- Pages ------------------------------------------------------------------------------------------------------------ */

/* Pages that count against the limit; 0 when there are none. */
static u64 take(u64 pages) {
  if (pages > node_pages_limit - node_pages_used) return 0;
  u64 address = pages_take(pages);
  if (address) node_pages_used += pages;
  return address;
}

i64 node_grow(struct node *node, u64 size) {
  if (size > MOST_OCTETS) return -EFBIG;
  u64 pages = pages_of(size);
  if (pages <= node->pages) return 0;
  u64 needed = pages - node->pages, ahead = needed + minimum(node->pages, MOST_AHEAD);
  struct extent *extent = pool_take(&extent_pool);
  if (!extent) return -ENOSPC;
  extent->pages = ahead;
  if (!(extent->address = take(ahead))) extent->address = take(extent->pages = needed);
  if (!extent->address) {
    pool_give(&extent_pool, extent);
    return -ENOSPC;
  }
  node->pages += extent->pages;
  struct extent **end = &node->extents;
  while (*end) end = &(*end)->next;
  *end = extent;
  return 0;
}

/* The extent that holds a page of the file; *first: its first page's number. The page must exist. */
static struct extent *extent_of(struct node *node, u64 page, u64 *first) {
  struct extent *extent = node->extents;
  for (*first = 0; page >= *first + extent->pages; extent = extent->next) *first += extent->pages;
  return extent;
}

/* Gives an extent pages of its own in place of the image's. */
static i64 own(struct extent *extent) {
  if (!extent->borrowed) return 0;
  u64 address = take(extent->pages);
  if (!address) return -ENOSPC;
  memcpy((void *)address, (void *)extent->address, extent->pages * PAGE);
  extent->address = address;
  extent->borrowed = false;
  return 0;
}

/* Copies between memory and the file, both of which exist; `from` 0 means zeros, `to` 0 means into the file.
 * Pages of a shared map may be protected from the library OS too: they are opened for the copy. */
static void copy(struct node *node, u8 *to, const u8 *from, u64 n, u64 at) {
  while (n) {
    u64 first;
    struct extent *extent = extent_of(node, at / PAGE, &first);
    u64 offset = at - first * PAGE, some = minimum(n, extent->pages * PAGE - offset);
    u64 address = extent->address + offset, page = address & ~(PAGE - 1UL);
    u64 pages = pages_of(address + some - page);
    u8 kept[64]; /* protections, of as many pages as are copied at once */
    bool closed = extent->maps && !may_write(address, some);
    if (closed) {
      pages = minimum(pages, sizeof kept);
      some = minimum(some, page + pages * PAGE - address);
      pages_open(page, pages, kept);
    }
    if (to)
      memcpy(to, (void *)address, some), to += some;
    else if (from)
      memcpy((void *)address, from, some), from += some;
    else
      memset((void *)address, 0, some);
    if (closed) pages_close(page, pages, kept);
    at += some;
    n -= some;
  }
}

i64 node_borrow(struct node *node, u64 address, u64 size) {
  if (!size) return 0;
  struct extent *extent = pool_take(&extent_pool);
  if (!extent) return -ENOSPC;
  *extent = (struct extent){.address = address, .pages = pages_of(size), .borrowed = true};
  node->extents = extent;
  node->pages = extent->pages;
  node->size = size;
  return 0;
}

/* ---- Octets ----------------------------------------------------------------------------------------------------------- */

i64 node_read(struct node *node, u8 *to, u64 n, u64 at) {
  if (at >= node->size) return 0;
  n = minimum(n, node->size - at);
  copy(node, to, 0, n, at);
  return n;
}

/* Makes the pages of a part writable by the library OS: those borrowed from the image are copied. */
static i64 own_part(struct node *node, u64 at, u64 n) {
  u64 first = 0;
  for (struct extent *e = node->extents; e && first * PAGE < at + n; first += e->pages, e = e->next) {
    i64 result = at < (first + e->pages) * PAGE ? own(e) : 0;
    if (result) return result;
  }
  return 0;
}

void node_zero(struct node *node, u64 at, u64 n) {
  u64 end = minimum(at + n, node->pages * PAGE);
  if (at < end && !own_part(node, at, end - at)) copy(node, 0, 0, end - at, at);
}

/* A map may have left octets behind the end of the file, in its last page. */
static void clear_to(struct node *node, u64 end) {
  u64 page_end = (node->size + PAGE - 1) & ~(PAGE - 1UL);
  if (end > node->size) node_zero(node, node->size, minimum(end, page_end) - node->size);
}

i64 node_write(struct node *node, const u8 *from, u64 n, u64 at) {
  if (at + n < at) return -EFBIG;
  if (!n) return 0;
  i64 result = node_grow(node, at + n);
  if (!result) result = own_part(node, minimum(at, node->size), at + n - minimum(at, node->size));
  if (result) return result;
  clear_to(node, at);
  copy(node, 0, from, n, at);
  if (at + n > node->size) node->size = at + n;
  node->modify = node->change = realtime();
  return n;
}

i64 node_truncate(struct node *node, u64 size) {
  i64 result = node_grow(node, size);
  if (!result && size && size < node->size) result = own_part(node, size, 1);
  if (result) return result;
  if (size > node->size) clear_to(node, size);
  u64 first = 0;
  for (struct extent **at = &node->extents; *at;) { /* whole extents that are not needed any more go */
    struct extent *extent = *at;
    if (first >= pages_of(size) && !extent->maps && !extent->next) {
      *at = 0;
      extent_free(node, extent);
      at = &node->extents;
      first = 0;
    } else {
      first += extent->pages;
      at = &extent->next;
    }
  }
  if (size < node->size) node_zero(node, size, node->size - size);
  node->size = size;
  node->modify = node->change = realtime();
  return 0;
}

/* ---- Shared maps ------------------------------------------------------------------------------------------------------- */

/* Brings the extents between two pages of the file together into one. */
static i64 join(struct node *node, u64 page, u64 end) {
  u64 first = 0, total = 0;
  struct extent **at = &node->extents;
  while (page >= first + (*at)->pages) first += (*at)->pages, at = &(*at)->next;
  for (struct extent *e = *at; e && first + total < end; total += e->pages, e = e->next)
    if (e->maps) return -ENOMEM;
  struct extent *whole = pool_take(&extent_pool);
  u64 address = whole ? take(total) : 0;
  if (!address) {
    if (whole) pool_give(&extent_pool, whole);
    return -ENOMEM;
  }
  *whole = (struct extent){.address = address, .pages = total};
  u64 done = 0;
  while (done < total) {
    struct extent *e = *at;
    memcpy((void *)(address + done * PAGE), (void *)e->address, e->pages * PAGE);
    done += e->pages;
    *at = e->next;
    extent_free(node, e);
  }
  node->pages += total;
  whole->next = *at;
  *at = whole;
  return 0;
}

i64 node_map(struct node *node, u64 offset, u64 pages) {
  u64 page = offset / PAGE, first;
  i64 result = node_grow(node, offset + pages * PAGE);
  if (result) return -ENOMEM;
  struct extent *extent = extent_of(node, page, &first);
  if (page + pages > first + extent->pages) {
    if ((result = join(node, page, page + pages))) return result;
    extent = extent_of(node, page, &first);
  }
  if (own(extent)) return -ENOMEM;
  extent->maps++;
  node->open++;
  return extent->address + (page - first) * PAGE;
}

void node_unmap(struct node *node, u64 address) {
  struct extent *e = node->extents;
  while (address - e->address >= e->pages * PAGE) e = e->next;
  if (!--e->maps) pages_open(e->address, e->pages, 0);
  node->open--;
  node_free(node);
}
