/* Text that the library OS writes for the application to read: it grows by pages, and is cut at a mebibyte. */
#ifndef TEXT_H
#define TEXT_H

#include "base.h"

struct text {
  char *start;
  u64 length, room; /* octets */
};

/* `%s` a string, `%d` an i64, `%x` a u64 in hexadecimal, `%p` the same with eight digits at least. */
void text_add(struct text *text, const char *format, ...);
void text_add_octets(struct text *text, const char *octets, u64 n);
void text_free(struct text *text);

#endif
