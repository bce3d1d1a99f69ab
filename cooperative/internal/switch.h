#pragma once

// The switch between stacks. A parked stack looks, from its stack pointer upwards, like this (x86-64, 8 bytes each):
//
//     mxcsr and x87 control word | r15 | r14 | r13 | r12 | rbx | rbp | where it goes on
//
// It is entered by `jmp` and left by `pop` and `jmp`. A `ret` would be predicted wrongly each time (9 ns instead of 2.5), and a
// `call` without its `ret` would have the processor predict all the callers' returns wrongly (24 ns for a yield instead of 6).

#include <cstddef>
#include <cstdint>

#if !defined(__x86_64__)
#error "cooperative/internal/switch.cc has a switch for x86-64 only: add one for this processor, and its picture above"
#endif

namespace cooperative::internal {

extern "C" {

// For switch_stack() alone: not to be called.
void mothreads_switch_stack() noexcept;

// Where a new stack begins: goes to the function in r12 with the argument in r13, also without a `call`.
void mothreads_begin_stack() noexcept;
// What that function seems to have been called by. A backtrace ends here.
void mothreads_bottom_of_stack() noexcept;
}

// Parks the running stack at *parked and goes on with the one that was parked at `resumed`. Comes back when somebody switches back.
// Only for functions that also call others: it pushes below the stack pointer, where a leaf may have its variables.
[[gnu::always_inline]] inline void switch_stack(void** parked, void* resumed) noexcept {
  asm volatile(
      "leaq 1f(%%rip), %%rax\n\t"
      "pushq %%rax\n\t"
      "jmp mothreads_switch_stack\n"
      "1:\n\t"
      "endbr64"
      : "+D"(parked), "+S"(resumed)
      :
      : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
        "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

// Makes the memory below `top` look like a parked stack that will go on with function(argument), which must not return.
inline void* prepare_stack(char* top, void (*function)(void*), void* argument) noexcept {
  auto* words = reinterpret_cast<std::uintptr_t*>(reinterpret_cast<std::uintptr_t>(top) & ~std::uintptr_t{15});
  *--words = reinterpret_cast<std::uintptr_t>(&mothreads_bottom_of_stack) + 1;  // return addresses lie behind a call
  *--words = reinterpret_cast<std::uintptr_t>(&mothreads_begin_stack);
  *--words = 0;                                             // rbp
  *--words = 0;                                             // rbx
  *--words = reinterpret_cast<std::uintptr_t>(function);    // r12
  *--words = reinterpret_cast<std::uintptr_t>(argument);    // r13
  *--words = 0;                                             // r14
  *--words = 0;                                             // r15
  *--words = 0x037f'0000'1f80;                              // the defaults of mxcsr and of the x87 control word
  return words;
}

}  // namespace cooperative::internal
