#pragma once

// The switch between stacks. A parked stack looks, from its stack pointer upwards, like this (x86-64, 8 bytes each):
//
//     mxcsr and x87 control word | where it goes on | rbx | rbp | 128 bytes that the function may use without saying so (the red zone)
//
// The other registers are those of the function that switches: the compiler keeps what it needs in its own frame, where an
// unwinder finds it. (Of these two it may not be able to: some functions find their frame by them.)
//
// The switch is inlined and ends in `jmp`. A `ret` would be predicted wrongly each time (9 ns instead of 2.5), a `call` without its
// `ret` would have the processor predict all the callers' returns wrongly, and each return between a switch and the code that
// asked for it is predicted wrongly when another fiber went another way: that is why what waits is inlined, too.

#include <cstddef>
#include <cstdint>

#if !defined(__x86_64__)
#error "cooperative/internal/stack/switch.h has a switch for x86-64 only: add one for this processor, and its picture"
#endif

namespace cooperative::inline v0::internal {

extern "C" {

// Where a new stack begins: goes to the function with the argument that lie on it, also without a `call`.
void mothreads_begin_stack() noexcept;
// What that function seems to have been called by. A backtrace ends here.
void mothreads_bottom_of_stack() noexcept;
}

// Where a parked stack goes on, and with what: for unwinders.
struct ParkedFrame {
  const void* instruction;
  const void* stack_pointer;
  const void* frame_pointer;  // rbp
  const void* rbx;
};
inline ParkedFrame parked_frame(const void* parked) noexcept {
  const auto* words = static_cast<void* const*>(parked);
  return {words[1], words + 4 + 128 / sizeof(void*), words[3], words[2]};
}

#ifdef __AVX512F__
#define MOTHREADS_AVX512_REGISTERS                                                                                                       \
  , "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", \
      "xmm31", "k1", "k2", "k3", "k4", "k5", "k6", "k7"
#else
#define MOTHREADS_AVX512_REGISTERS
#endif

#ifdef __CET__
#define MOTHREADS_LANDING "endbr64\n\t"
#else
#define MOTHREADS_LANDING
#endif

// Parks the running stack at *parked and goes on with the one that was parked at `resumed`. Comes back when somebody switches back.
// Of mxcsr only the control bits are kept for each stack, as the ABI asks: the low six are flags that anybody may change. Loading
// it is slow, and so done only for a stack that differs.
[[gnu::always_inline]] inline void switch_stack(void** parked, void* resumed) noexcept {
  asm volatile(
      "leaq -128(%%rsp), %%rsp\n\t"
      "pushq %%rbp\n\t"
      "pushq %%rbx\n\t"
      "leaq 1f(%%rip), %%rax\n\t"
      "pushq %%rax\n\t"
      "pushq %%rax\n\t"
      "stmxcsr (%%rsp)\n\t"
      "fnstcw 4(%%rsp)\n\t"
      "movl (%%rsp), %%eax\n\t"
      "movzwl 4(%%rsp), %%edx\n\t"
      "movq %%rsp, (%[parked])\n\t"
      "movq 8(%[resumed]), %%rcx\n\t"
      "movq %[resumed], %%rsp\n\t"
      "xorl (%%rsp), %%eax\n\t"
      "andl $0xffc0, %%eax\n\t"
      "xorw 4(%%rsp), %%dx\n\t"
      "orl %%edx, %%eax\n\t"
      "jne 3f\n"
      "2:\n\t"
      "addq $16, %%rsp\n\t"
      "jmp *%%rcx\n"
      "3:\n\t"
      "ldmxcsr (%%rsp)\n\t"
      "fldcw 4(%%rsp)\n\t"
      "jmp 2b\n"
      "1:\n\t"
      MOTHREADS_LANDING
      "popq %%rbx\n\t"
      "popq %%rbp\n\t"
      "leaq 128(%%rsp), %%rsp"
      : [parked] "+D"(parked), [resumed] "+S"(resumed)
      :
      : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "cc", "memory", "st", "st(1)", "st(2)", "st(3)",
        "st(4)", "st(5)", "st(6)", "st(7)", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
        "xmm11", "xmm12", "xmm13", "xmm14", "xmm15" MOTHREADS_AVX512_REGISTERS);
}

#undef MOTHREADS_AVX512_REGISTERS
#undef MOTHREADS_LANDING

// How floating-point numbers are computed: rounding, which exceptions trap, denormals. It belongs to a stack, as to a thread.
struct FloatingPoint {
  std::uint32_t mxcsr = 0x1f80;
  std::uint16_t x87 = 0x037f;  // the control word

  // That of the code that calls it.
  [[gnu::always_inline]] void take() noexcept {
    asm volatile("stmxcsr %0" : "=m"(mxcsr));
    asm volatile("fnstcw %0" : "=m"(x87));
  }
  // Makes it that of the code that calls it. Loading is slow, and so done only where there is something else.
  void load() const noexcept {
    FloatingPoint now;
    now.take();
    if (((now.mxcsr ^ mxcsr) & 0xffc0) == 0 && now.x87 == x87) return;
    asm volatile("ldmxcsr %0" : : "m"(mxcsr));
    asm volatile("fldcw %0" : : "m"(x87));
  }
};

// Makes the memory below `top` look like a parked stack that will go on with function(argument), which must not return.
inline void* prepare_stack(char* top, void (*function)(void*), void* argument, const FloatingPoint& floating_point = {}) noexcept {
  auto* words = reinterpret_cast<std::uintptr_t*>(reinterpret_cast<std::uintptr_t>(top) & ~std::uintptr_t{15});
  *--words = reinterpret_cast<std::uintptr_t>(&mothreads_bottom_of_stack) + 1;  // return addresses lie behind a call
  *--words = reinterpret_cast<std::uintptr_t>(argument);
  *--words = reinterpret_cast<std::uintptr_t>(function);
  *--words = reinterpret_cast<std::uintptr_t>(&mothreads_begin_stack);
  *--words = std::uintptr_t{floating_point.x87} << 32 | floating_point.mxcsr;
  return words;
}

}  // namespace cooperative::internal
