/* Every way in and out of the library OS. See entry.h.
 *
 * Between `privileged` and `privileged_end` is all the code that a processor may run in ring 0. On ordinary KVM the
 * system-call stub runs there; where /dev/kvm is the kvm_pvm module it runs in ring 3, so it uses no privileged
 * instruction. It never touches the caller's stack: in ring 0 that would let the application write anywhere. */
#include "layout.h"

  .section .text.entry, "ax"

/* The tender starts the guest here, in ring 3. */
  .globl start
start:
  mov $boot_stack_end, %rsp
  mov %rsp, SHARED_ADDRESS + SHARED_STACK
  xor %ebp, %ebp
  cld
  call boot

  .globl privileged
privileged:

/* `syscall`: rcx holds the caller's rip; r11 held its flags, which a system call need not keep. */
  .globl syscall_stub
syscall_stub:
  mov %rsp, %r11
  mov $stub_stack_end, %rsp
  push $USER_SS
  push SHARED_ADDRESS + SHARED_STACK
  push $USER_FLAGS
  push $USER_CS
  push $entry_syscall
  iretq

/* The 32 exception vectors, 16 octets each; every one runs on the interrupt stack of the task segment. */
  .balign 16
  .globl vectors
vectors:
  .set vector, 0
  .rept 32
  .org vectors + 16 * vector
  .if vector == 6
  jmp undefined
  .else
  .if (vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17) || (vector == 21)
  .else
  push $0
  .endif
  push $vector
  jmp exception
  .endif
  .set vector, vector + 1
  .endr

/* `ud2` is the library OS's way here, too. */
undefined:
  cmpq $seal_instruction, (%rsp)
  je seal
  cmpq $gate_instruction, (%rsp)
  je gate
  push $0
  push $6

/* On the stack: rax (pushed here), vector, error, rip, cs, rflags, rsp, ss. */
exception:
  push %rax
  .set offset, 0
  .rept 6
  mov 8 + offset(%rsp), %rax
  mov %rax, SHARED_ADDRESS + SHARED_TRAP + offset
  .set offset, offset + 8
  .endr
  mov %cr2, %rax
  mov %rax, SHARED_ADDRESS + SHARED_TRAP + 48
  movq $entry_trap, 24(%rsp)
  movq $USER_CS, 32(%rsp)
  movq $USER_FLAGS, 40(%rsp)
  mov SHARED_ADDRESS + SHARED_STACK, %rax
  mov %rax, 48(%rsp)
  movq $USER_SS, 56(%rsp)
  pop %rax
  add $16, %rsp
  iretq

/* The gate: the library OS asks for other page protections with `ud2` at one address. rdi, rsi, rdx are arguments. */
gate:
  cld
  call change_protection
  addq $2, (%rsp)
  iretq

/* The seal: the library OS has pages of files no longer be writable, as every library that it loads asks for. The gate
 * could do that as well, but on kvm_pvm each instruction of ring 0 takes a microsecond, and this is a fifth of them. To
 * take the right to write from any page breaks nothing; that the entries are those of files is checked.
 * rdi: number of the first page, counted from IMAGE_BASE. rsi: how many, not 0. rdx: the first one's address. */
seal:
  mov HEADER_ADDRESS + HEADER_END_PAGE, %rax
  sub %rsi, %rax
  jb 5f
  cmp %rdi, %rax
  jb 5f
  cmp HEADER_ADDRESS + HEADER_FIRST_PAGE, %rdi
  jb 5f
  mov HEADER_ADDRESS + HEADER_TABLES, %rax
  lea (%rax, %rdi, 8), %rdi
  cmp $1, %rsi
  jne 1f
  andb $0xfd, (%rdi)
  invlpg (%rdx)
  addq $2, (%rsp)
  iretq
1: /* eight at a time, then one at a time */
  sub $8, %rsi
  jb 2f
  .set offset, 0
  .rept 8
  andb $0xfd, offset(%rdi)
  .set offset, offset + 8
  .endr
  add $64, %rdi
  jmp 1b
2:
  add $8, %rsi
  jz 4f
3:
  andb $0xfd, (%rdi)
  add $8, %rdi
  dec %rsi
  jnz 3b
4:
  mov %cr3, %rax
  mov %rax, %cr3
5:
  addq $2, (%rsp)
  iretq

  .globl privileged_end
privileged_end:

  .globl protection_gate
protection_gate:
gate_instruction:
  ud2
  ret

  .globl protection_seal
protection_seal:
seal_instruction:
  ud2
  ret

  .macro push_registers
  push %rdi
  push %rsi
  push %rdx
  push %rcx
  push %rax
  push %r8
  push %r9
  push %r10
  push %r11
  push %rbx
  push %rbp
  push %r12
  push %r13
  push %r14
  push %r15
  .endm

/* A system call that the builder has rewritten jumps here instead, with rcx and r11 as above, and stays in ring 3. An
 * interruption between these two instructions finds the caller's stack pointer: the tender sees that rip is in the
 * library OS, and waits for the end of the call; exceptions have a stack of their own. */
  .globl entry_call
entry_call:
  mov %rsp, %r11
  mov SHARED_ADDRESS + SHARED_STACK, %rsp

/* From the system-call stub, too: on the thread's stack in the library OS, in ring 3. */
entry_syscall:
  push $USER_SS
  push %r11
  push $USER_FLAGS
  push $USER_CS
  push %rcx
  push $0
  push $0
  push_registers
  mov %rsp, %rdi
  cld
  call handle_syscall
  test %al, %al
  jz leave

/* The short way back, for a call that returns where it came from: rcx and r11 are the caller's to lose. */
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbp
  pop %rbx
  add $8, %rsp
  pop %r10
  pop %r9
  pop %r8
  pop %rax
  add $8, %rsp
  pop %rdx
  pop %rsi
  pop %rdi
  mov 16(%rsp), %rcx
  mov 40(%rsp), %rsp
  jmp *%rcx

/* Back to the application: rsp is at a struct frame. `iretq` within ring 3 is no privileged instruction. */
  .globl leave
leave:
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbp
  pop %rbx
  pop %r11
  pop %r10
  pop %r9
  pop %r8
  pop %rax
  pop %rcx
  pop %rdx
  pop %rsi
  pop %rdi
  add $16, %rsp
  iretq

/* An exception, or an interruption by the tender: what happened is in the shared page. */
  .globl entry_trap
entry_trap:
  push $USER_SS
  push SHARED_ADDRESS + SHARED_TRAP + 40
  push SHARED_ADDRESS + SHARED_TRAP + 32
  push $USER_CS
  push SHARED_ADDRESS + SHARED_TRAP + 16
  push SHARED_ADDRESS + SHARED_TRAP + 8
  push SHARED_ADDRESS + SHARED_TRAP
  push_registers
  mov %rsp, %rdi
  cld
  call handle_trap
  jmp leave

/* switch_stacks(u64 *save, u64 to) */
  .globl switch_stacks
switch_stacks:
  push %rbx
  push %rbp
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbp
  pop %rbx
  ret

/* enter_user(struct frame *) */
  .globl enter_user
enter_user:
  mov %rdi, %rsp
  jmp leave

  .bss
  .balign 64
stub_stack:
  .skip 64
stub_stack_end:
  .balign 64
boot_stack:
  .skip THREAD_STACK
boot_stack_end:
  .section .note.GNU-stack, "", @progbits
