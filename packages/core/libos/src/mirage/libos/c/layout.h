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

/* Offsets in the header that ring 0 reads. */
#define HEADER_TABLES 0x10     /* address of the page tables of the image */
#define HEADER_FIRST_PAGE 0x30 /* number of the files' first page, and one past their last */
#define HEADER_END_PAGE 0x38

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
#define SHARED_DEVICES 0x400  /* struct device, DEVICES of them: see hostdev.h */

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

/* Hypercalls for networks and disks; `device` is an index into the table of devices. */
#define CALL_LOOK 0x520        /* nothing: the tender carries frames whenever the guest leaves */
#define CALL_NET_START 0x521   /* device, address of struct rings (0: stop) -> 0, -EFAULT, -EINVAL */
#define CALL_NET_OFFLOAD 0x522 /* device, flags of TUNSETOFFLOAD -> 0, or the host's error */
#define CALL_BLOCK 0x523       /* address of struct block_request -> octets, or an error */

/* The table of devices. */
#define DEVICES 16
#define DEVICE_SIZE 64
#define DEVICE_NAME 16     /* room for a name and its NUL */
#define DEVICE_NET 1       /* kinds; 0 ends the table */
#define DEVICE_BLOCK 2
#define DEVICE_READ_ONLY 1 /* a flag */

/* Networks: two rings of octets in the guest's memory (struct rings of netdev.c). A record is a word with its length, then
 * virtio-net header and frame, then up to 7 octets, so that the next word is aligned. None is split: where the end of
 * a ring is too near, NET_SKIP stands in place of a length, and the record is at the ring's beginning. */
#define NET_RING 0x40000    /* octets of one ring */
#define NET_RINGS 0x81000   /* octets of both, and of the page before them */
#define NET_SHORTEST 26     /* octets of a header and of an Ethernet header */
#define NET_LONGEST 0x10020 /* of a header and the longest frame: 64 KiB and a VLAN tag */
#define NET_SKIP 0xffffffffffffffff

/* Disks. */
#define SECTOR 512
#define BLOCK_READ 0 /* operations */
#define BLOCK_WRITE 1
#define BLOCK_FLUSH 2
#define BLOCK_MOST 0x1000000 /* octets of one request */

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
#define STACK_PAGES 2048   /* of the first thread's stack, at most: an eighth of the memory where that is less */
#define THREAD_STACK 16384 /* the stack of one thread inside the library OS */

#endif
