#pragma once

// One step of a busy wait.

namespace mothreads::inline v0::internal {

inline void spin_pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace mothreads::internal
