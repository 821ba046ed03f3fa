/* Ways in and out of the library OS, and the first steps of a guest. */
#ifndef ENTRY_H
#define ENTRY_H

#include "base.h"

/* Filled in by the builder, in the data of the library OS: what ring 3 must know of the image. */
struct image {
  u64 files;            /* first address of the files */
  u64 end;              /* one past the last page */
  u64 protections;      /* address of one octet for each page of the image: PROT bits of memory.h */
  u64 entries, strings; /* the tree: see files.h */
  u64 entry_count;
  u64 interpreter;      /* entry point of the program interpreter, ld.so */
  u64 interpreter_base;
  u64 program_headers, program_header_count, program_entry;
  u64 program_name;     /* address of its path */
  u64 writable;         /* address of NUL-ended paths, an empty one last: each is a memory file system */
};
extern struct image image;

extern u8 libos_text[], libos_text_end[], privileged[], privileged_end[];

static inline bool in_libos(u64 rip) { return rip >= (u64)libos_text && rip < (u64)libos_text_end; }

void leave(void);
_Noreturn void enter_user(struct frame *frame);
void switch_stacks(u64 *save, u64 to);
/* Runs `change_protection` (memory.c) in ring 0. */
i64 protection_gate(u64 address, u64 pages, u64 protection);
void protection_seal(u64 page, u64 pages, u64 address);

#endif
