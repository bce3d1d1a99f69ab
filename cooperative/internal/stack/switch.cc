#include "cooperative/internal/stack/switch.h"

asm(R"(
.text
.globl mothreads_begin_stack
.hidden mothreads_begin_stack
.type mothreads_begin_stack, @function
.align 16
mothreads_begin_stack:
.cfi_startproc
  .cfi_undefined %rip
  endbr64
  popq %rax
  popq %rdi
  xorl %ebp, %ebp
  jmp *%rax
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
