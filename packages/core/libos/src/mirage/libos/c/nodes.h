/* Inside the memory file systems: a node is a file, a directory or a symbolic link, and may have several names. */
#ifndef NODES_H
#define NODES_H

#include "files.h"

enum { NAME_ROOM = 256 };
struct node;

/* One entry of a directory. */
struct name {
  struct name *next;
  struct node *parent, *node;
  u64 cookie; /* its place in listings: never used twice */
  u64 length;
  char text[NAME_ROOM];
};

/* A run of pages of a file. */
struct extent {
  struct extent *next;
  u64 address, pages;
  u64 maps;      /* shared maps of these pages */
  bool borrowed; /* they are the image's, and must be copied before they are written */
};

/* Lives while it has a name, is open or mapped. */
struct node {
  struct name *child; /* of a directory: the first entry */
  struct name *name;  /* the last name it was given */
  u32 mode, user, group;
  u32 open, links, mount;
  u64 inode;
  struct extent *extents;
  u64 size, pages;
  i64 access, modify, change;
};

struct node *node_new(u32 mode, u32 mount);
void node_free(struct node *node); /* if nothing keeps it */
bool node_is_directory(const struct node *node);

/* What is in a file. Memory or the limit exhausted: -ENOSPC. */
i64 node_read(struct node *node, u8 *to, u64 n, u64 at);
i64 node_write(struct node *node, const u8 *from, u64 n, u64 at);
i64 node_truncate(struct node *node, u64 size);
i64 node_grow(struct node *node, u64 size); /* pages for so many octets */
void node_zero(struct node *node, u64 at, u64 n);
i64 node_borrow(struct node *node, u64 address, u64 size);
i64 node_map(struct node *node, u64 offset, u64 pages);
void node_unmap(struct node *node, u64 address);

extern u64 node_pages_used, node_pages_limit;

#endif
