#include "cooperative/internal/stack/parked_stack.h"

#include <execinfo.h>

#include <algorithm>
#include <array>
#include <cstdint>

// Calls rsi(rdx), and tells whoever unwinds that it was called by the stack parked at rdi, in the layout of switch.h: the unwinder goes on
// there, and only reads.
asm(R"(
.text
.type mothreads_call_as_parked, @function
.align 16
mothreads_call_as_parked:
.cfi_startproc
  endbr64
  pushq %rbx
  .cfi_adjust_cfa_offset 8
  .cfi_rel_offset %rbx, 0
  movq %rdi, %rbx
  movq %rdx, %rdi
  .cfi_remember_state
  .cfi_def_cfa %rbx, 160
  .cfi_offset %rip, -152
  .cfi_offset %rbx, -144
  .cfi_offset %rbp, -136
  call *%rsi
  .cfi_restore_state
  popq %rbx
  .cfi_adjust_cfa_offset -8
  .cfi_restore %rbx
  ret
.cfi_endproc
.size mothreads_call_as_parked, .-mothreads_call_as_parked
)");

namespace cooperative::inline v0::internal {

extern "C" void mothreads_call_as_parked(void* stack_pointer, void (*function)(void*), void* argument) noexcept;

namespace {

struct Frames {
  std::array<void*, 64> addresses;
  int count = 0;
};

void take_frames(void* frames_pointer) noexcept {
  auto& frames = *static_cast<Frames*>(frames_pointer);
  frames.count = backtrace(frames.addresses.data(), static_cast<int>(frames.addresses.size()));
}

// Of the function above, which is the last of our own.
bool is_call_as_parked(const void* address) {
  const auto offset = reinterpret_cast<std::uintptr_t>(address) - reinterpret_cast<std::uintptr_t>(&mothreads_call_as_parked);
  constexpr std::uintptr_t kSize = 32;
  return offset < kSize;
}

}  // namespace

int parked_frames(void* stack_pointer, void** frames, int max) noexcept {
  Frames all;
  mothreads_call_as_parked(stack_pointer, take_frames, &all);
  const auto end = all.addresses.begin() + all.count;
  const auto own = std::find_if(all.addresses.begin(), end, is_call_as_parked);
  if (own == end) return 0;
  const int count = std::min(max, static_cast<int>(end - own) - 1);
  std::copy_n(own + 1, count, frames);
  return count;
}

}  // namespace cooperative::internal
