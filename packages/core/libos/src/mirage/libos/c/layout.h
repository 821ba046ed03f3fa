/* Where everything is: the one file that the C code, the assembly and (by reading it) the Python side share.
 *
 * Addresses are guest-physical and virtual at once: the map is the identity. Python takes every `#define NAME NUMBER`
 * from here, so a number has one home. */
#ifndef LAYOUT_H
#define LAYOUT_H

/* The image: one file, mapped copy-on-write. Its first pages are the same in every image. */
#define IMAGE_BASE 0x40000000
#define HEADER_ADDRESS 0x40000000 /* written by the builder; supervisor only */
#define SHARED_ADDRESS 0x40001000 /* what the tender and the library OS tell each other */
#define LIBOS_BASE 0x40002000     /* text, then data */
#define IMAGE_LIMIT 0x40000000    /* an image is at most 1 GiB */

/* Page tables of the memory, made by the tender: page directories first, then one page table for each 2 MiB. */
#define TABLES_BASE 0xC0000000
/* The memory. */
#define RAM_BASE 0x100000000
#define RAM_LIMIT 0x200000000 /* 8 GiB */

/* Selectors, as the tender's descriptor table has them. 0x33 and 0x2b are also what Linux uses for ring 3. */
#define KERNEL_CS 0x10
#define KERNEL_SS 0x18
#define USER_CS 0x33
#define USER_SS 0x2b
#define TASK_SELECTOR 0x40
/* Ring 3 may use I/O ports (IOPL 3), for that is how a hypercall is made. */
#define USER_FLAGS 0x3202

/* Offsets in the shared page. */
#define SHARED_STACK 0x00     /* the current thread's stack inside the library OS */
#define SHARED_PENDING 0x08   /* the tender wants to be heard at the end of this system call */
#define SHARED_TRAP 0x10      /* vector, error, rip, cs, rflags, rsp, cr2 */
#define SHARED_CALL 0x50      /* a hypercall: five arguments, one result */
#define SHARED_SIGNALS 0x80   /* signals from the host: bit n - 1 is signal n */
#define SHARED_BOOT 0x100     /* struct boot */

/* Hypercalls: `out` to one of these ports, with the arguments in the shared page. */
#define CALL_WRITE 0x500    /* console: address, length */
#define CALL_READ 0x501     /* console: address, length -> length, 0 at the end, -EAGAIN */
#define CALL_EXIT 0x502     /* status */
#define CALL_WAIT 0x503     /* nanoseconds (-1: for ever): sleep until then or until something happens */
#define CALL_TICK 0x504     /* period in microseconds, 0 to stop: interrupt the guest that often */
#define CALL_FAULT 0x505    /* a fault that nobody handles: address of the registers, kind */
#define CALL_UNKNOWN 0x506  /* an unsupported system call: its number */
#define CALL_ENTROPY 0x507  /* address, length: the host's random octets */
#define CALL_SNAPSHOT 0x508 /* save this guest; returns in it, and in every guest resumed from what was saved */

/* Kinds of CALL_FAULT. */
#define FAULT_USER 0   /* in the application */
#define FAULT_LIBOS 1  /* in the library OS: a defect */
#define FAULT_SIGNAL 2 /* not a fault: the application's own deadly signal, its number in `error` */

#define TRAP_TICK 256 /* the vector of what the tender injects */

/* Offsets in a struct thread, for those who look at a guest from outside. */
#define THREAD_STATE_AT 4096
#define THREAD_ID_AT 4100
#define THREAD_TOP_AT 4120
#define THREAD_FS_AT 4128

#define PAGE 4096
#define THREAD_STACK 16384 /* the stack of one thread inside the library OS */

#endif
