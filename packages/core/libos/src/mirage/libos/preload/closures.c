/* Callbacks without code that is written at run time: libffi's closures, out of a table of code that is there from the
 * start. The guest loads this library before libffi, so these two functions stand in place of libffi's own.
 *
 * libffi fills a closure with a few instructions that load the closure's address into r10 and jump to where its octets
 * 24 to 31 point. Here those instructions are never run, and the closure is data; the code handed out does the same for
 * the closure of its own number. */
#include <stddef.h>
#include <stdint.h>

enum { CLOSURES = 4096, CLOSURE = 64, CODE = 16 };

struct closure {
  uint64_t words[CLOSURE / 8];
};
static struct closure closures[CLOSURES];
static uint32_t next;
/* The closure of each piece of code; 0 for one that is free. */
__attribute__((visibility("hidden"))) struct closure *closure_table[CLOSURES];
extern __attribute__((visibility("hidden"))) uint8_t closure_code[];

__asm__(".pushsection .text\n"
        ".balign 16\n"
        ".hidden closure_code\n"
        ".globl closure_code\n"
        "closure_code:\n"
        ".set number, 0\n"
        ".rept 4096\n"
        ".balign 16\n"
        "endbr64\n"
        "mov closure_table + 8 * number(%rip), %r10\n"
        "jmp *24(%r10)\n"
        ".set number, number + 1\n"
        ".endr\n"
        ".popsection\n");

void *ffi_closure_alloc(size_t size, void **code) {
  if (size > CLOSURE) return 0;
  for (uint32_t tried = 0; tried < CLOSURES; tried++) {
    uint32_t i = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED) % CLOSURES;
    struct closure *nothing = 0;
    if (!__atomic_compare_exchange_n(&closure_table[i], &nothing, &closures[i], 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
      continue;
    closures[i].words[0] = 0; /* where newer libffi looks whether the closure has code of its own */
    *code = closure_code + (size_t)CODE * i;
    return &closures[i];
  }
  return 0;
}

void ffi_closure_free(void *closure) {
  size_t i = (size_t)((struct closure *)closure - closures);
  if (i < CLOSURES) __atomic_store_n(&closure_table[i], 0, __ATOMIC_RELEASE);
}
