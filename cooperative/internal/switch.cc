#include "cooperative/internal/switch.h"

// Of mxcsr only the control bits are kept for each stack, as the ABI asks: the low six are flags that anybody may change. Loading
// it is slow, and so done only for a stack that differs.
asm(R"(
.text
.globl mothreads_switch_stack
.hidden mothreads_switch_stack
.type mothreads_switch_stack, @function
.align 32
mothreads_switch_stack:
.cfi_startproc
  endbr64
  pushq %rbp
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %rbp, 0
  pushq %rbx
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %rbx, 0
  pushq %r12
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %r12, 0
  pushq %r13
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %r13, 0
  pushq %r14
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %r14, 0
  pushq %r15
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %r15, 0
  subq $8, %rsp
  .cfi_adjust_cfa_offset 8
  stmxcsr (%rsp)
  fnstcw 4(%rsp)
  movl (%rsp), %eax
  movzwl 4(%rsp), %edx
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  xorl (%rsp), %eax
  testl $0xffc0, %eax
  jne 2f
1:
  cmpw %dx, 4(%rsp)
  jne 3f
4:
  addq $8, %rsp
  .cfi_adjust_cfa_offset -8
  popq %r15
  .cfi_adjust_cfa_offset -8
  .cfi_restore %r15
  popq %r14
  .cfi_adjust_cfa_offset -8
  .cfi_restore %r14
  popq %r13
  .cfi_adjust_cfa_offset -8
  .cfi_restore %r13
  popq %r12
  .cfi_adjust_cfa_offset -8
  .cfi_restore %r12
  popq %rbx
  .cfi_adjust_cfa_offset -8
  .cfi_restore %rbx
  popq %rbp
  .cfi_adjust_cfa_offset -8
  .cfi_restore %rbp
  popq %rcx
  .cfi_adjust_cfa_offset -8
  .cfi_register %rip, %rcx
  jmp *%rcx
2:
  .cfi_adjust_cfa_offset 64
  .cfi_restore %rip
  ldmxcsr (%rsp)
  jmp 1b
3:
  fldcw 4(%rsp)
  jmp 4b
.cfi_endproc
.size mothreads_switch_stack, .-mothreads_switch_stack

.globl mothreads_begin_stack
.hidden mothreads_begin_stack
.type mothreads_begin_stack, @function
.align 16
mothreads_begin_stack:
.cfi_startproc
  endbr64
  movq %r13, %rdi
  jmp *%r12
.cfi_endproc
.size mothreads_begin_stack, .-mothreads_begin_stack

.globl mothreads_bottom_of_stack
.hidden mothreads_bottom_of_stack
.type mothreads_bottom_of_stack, @function
mothreads_bottom_of_stack:
.cfi_startproc
  .cfi_undefined %rip
  nop
  ud2
.cfi_endproc
.size mothreads_bottom_of_stack, .-mothreads_bottom_of_stack
)");
