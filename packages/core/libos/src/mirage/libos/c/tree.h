/* The tree of the image: files and directories that the builder put there, to be read alone. */
#ifndef TREE_H
#define TREE_H

#include "files.h"

/* One file, directory or symbolic link of the image, as the builder writes it. Sorted by path. */
struct entry {
  u32 path, path_length; /* in the strings; no NUL */
  u32 mode, flags;
  u32 child, next; /* of a directory: its first entry; the next one of the same directory; NO_ENTRY at the end */
  u64 size, data;  /* address */
  u64 mtime;       /* nanoseconds */
};
enum { ENTRY_LAID_OUT = 1 }; /* a shared library, segments at their final places */
#define NO_ENTRY 0xffffffffu

void tree_start(void);
const struct entry *tree_lookup(const char *path); /* 0 when there is none */
const struct entry *tree_entry(u64 i);             /* 0 past the last one */
const char *tree_path(const struct entry *e);      /* path_length octets */
/* The first entry whose path is not before this one's. */
u64 tree_after(const char *path);
void tree_stat(const struct entry *e, struct stat *stat);
struct file *tree_open(const struct entry *e, u32 flags); /* 0 when memory has run out */
/* The entry of an open file; 0 when it is none of the image's. */
const struct entry *tree_of(struct file *file);

/* The address of a shared library that lies in the image; 0 when it is none; -ENOMEM when it was mapped before. */
i64 tree_laid_out(struct file *file, u64 offset);
/* The address of a page-aligned part of an image file, 0 when it must be copied. */
u64 tree_in_place(struct file *file, u64 offset, u64 n);

#endif
