#include "text.h"

#include <stdarg.h>

#include "memory.h"

enum { MOST_OCTETS = 1 << 20 };

static bool make_room(struct text *text, u64 n) {
  while (text->length + n > text->room) {
    u64 room = text->room ? 2 * text->room : 4 * PAGE;
    if (room > MOST_OCTETS) return false;
    char *start = (char *)pages_take(room / PAGE);
    if (!start) return false;
    if (text->room) {
      memcpy(start, text->start, text->length);
      pages_give((u64)text->start, text->room / PAGE);
    }
    text->start = start;
    text->room = room;
  }
  return true;
}

void text_add_octets(struct text *text, const char *octets, u64 n) {
  if (!make_room(text, n)) return;
  memcpy(text->start + text->length, octets, n);
  text->length += n;
}

static void add_number(struct text *text, u64 value, u64 base, u64 digits) {
  char out[24];
  u64 at = sizeof out;
  for (; value || digits || at == sizeof out; value /= base, digits -= digits != 0)
    out[--at] = "0123456789abcdef"[value % base];
  text_add_octets(text, out + at, sizeof out - at);
}

void text_add(struct text *text, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  for (; *format; format++) {
    if (*format != '%') {
      text_add_octets(text, format, 1);
      continue;
    }
    switch (*++format) {
      case 's': {
        const char *string = va_arg(arguments, const char *);
        text_add_octets(text, string, strlen(string));
        break;
      }
      case 'd': {
        i64 value = va_arg(arguments, i64);
        if (value < 0) text_add_octets(text, "-", 1);
        add_number(text, value < 0 ? -value : value, 10, 0);
        break;
      }
      case 'x': add_number(text, va_arg(arguments, u64), 16, 0); break;
      case 'p': add_number(text, va_arg(arguments, u64), 16, 8); break;
      default: text_add_octets(text, format, 1);
    }
  }
  va_end(arguments);
}

void text_free(struct text *text) {
  if (text->room) pages_give((u64)text->start, text->room / PAGE);
  *text = (struct text){0, 0, 0};
}
