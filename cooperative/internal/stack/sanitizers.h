#pragma once

// What the sanitizers must be told of switches between stacks. Without them, nothing.

#include <cstddef>
#include <cstring>

#if defined(__SANITIZE_ADDRESS__)
#define COOPERATIVE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define COOPERATIVE_ASAN 1
#endif
#endif

#if defined(__SANITIZE_THREAD__)
#define COOPERATIVE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define COOPERATIVE_TSAN 1
#endif
#endif

#ifdef COOPERATIVE_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#endif
#ifdef COOPERATIVE_TSAN
#include <pthread.h>
#include <sanitizer/tsan_interface.h>
#include <signal.h>
#include <time.h>

extern "C" void __tsan_func_exit();
#endif

// What waits is inlined into who waits (see switch.h) where that pays: not where everything is slow, and each copy costs the compiler
// a second.
#if defined(__OPTIMIZE__) && !defined(COOPERATIVE_ASAN) && !defined(COOPERATIVE_TSAN)
#define COOPERATIVE_INLINED [[gnu::always_inline]] inline
#else
#define COOPERATIVE_INLINED inline
#endif
// What each fiber goes through is many small steps: for these functions the compiler makes one of all that they call and that it sees.
#if defined(__OPTIMIZE__) && !defined(__clang__) && !defined(COOPERATIVE_ASAN) && !defined(COOPERATIVE_TSAN)
#define COOPERATIVE_FLATTENED [[gnu::flatten]]
#else
#define COOPERATIVE_FLATTENED
#endif

namespace cooperative::inline v0::internal {

#ifdef COOPERATIVE_ASAN
inline constexpr bool kAsan = true;
#else
inline constexpr bool kAsan = false;
#endif

#ifdef COOPERATIVE_TSAN
inline constexpr bool kTsan = true;
#else
inline constexpr bool kTsan = false;
#endif

// Before a switch to the stack [lowest, lowest + size). `fake_stack` keeps the parked stack's state; null when it ends.
inline void asan_leave([[maybe_unused]] void** fake_stack, [[maybe_unused]] const void* lowest, [[maybe_unused]] std::size_t size) {
#ifdef COOPERATIVE_ASAN
  __sanitizer_start_switch_fiber(fake_stack, lowest, size);
#endif
}

// After a switch, on the stack that goes on; gives the bounds of the one that was left.
inline void asan_arrive([[maybe_unused]] void* fake_stack, [[maybe_unused]] const void** left, [[maybe_unused]] std::size_t* size) {
#ifdef COOPERATIVE_ASAN
  __sanitizer_finish_switch_fiber(fake_stack, left, size);
#endif
}

// A stack is used anew.
inline void asan_unpoison([[maybe_unused]] const void* lowest, [[maybe_unused]] std::size_t size) {
#ifdef COOPERATIVE_ASAN
  __asan_unpoison_memory_region(lowest, size);
#endif
}

// Pointers on parked stacks keep what they point at from being a leak.
inline void lsan_register([[maybe_unused]] const void* memory, [[maybe_unused]] std::size_t size) {
#ifdef COOPERATIVE_ASAN
  __lsan_register_root_region(memory, size);
#endif
}
inline void lsan_unregister([[maybe_unused]] const void* memory, [[maybe_unused]] std::size_t size) {
#ifdef COOPERATIVE_ASAN
  __lsan_unregister_root_region(memory, size);
#endif
}

#ifdef COOPERATIVE_TSAN
// Of LLVM 14's ThreadSanitizer a fiber gets its place for signals that wait for their handlers at its first call that may block, and a signal
// that comes while that is made is lost. So it is made here, while no signal can come.
__attribute__((no_sanitize("thread"))) inline void* make_ready_tsan_fiber() {
  constexpr unsigned kNoSync = __tsan_switch_to_fiber_no_sync;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int cancels = 0;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancels);  // the call is a cancellation point, and here is none
  void* const here = __tsan_get_current_fiber();
  void* const fiber = __tsan_create_fiber(0);
  __tsan_switch_to_fiber(fiber, kNoSync);
  const timespec nothing{};
  nanosleep(&nothing, nullptr);
  __tsan_switch_to_fiber(here, kNoSync);
  pthread_setcancelstate(cancels, nullptr);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return fiber;
}
#endif

inline void* make_tsan_fiber() {
#ifdef COOPERATIVE_TSAN
  return make_ready_tsan_fiber();
#else
  return nullptr;
#endif
}
inline void destroy_tsan_fiber([[maybe_unused]] void* fiber) {
#ifdef COOPERATIVE_TSAN
  if (fiber != nullptr) __tsan_destroy_fiber(fiber);
#endif
}
inline void* current_tsan_fiber() {
#ifdef COOPERATIVE_TSAN
  return __tsan_get_current_fiber();
#else
  return nullptr;
#endif
}
// Before the last switch away from a stack: its bottom function never returns, and would count as entered once more each time
// that the stack is used, until the runtime's record of 65,536 is full.
[[gnu::always_inline]] inline void tsan_leave_bottom() {
#ifdef COOPERATIVE_TSAN
  __tsan_func_exit();
#endif
}

#ifdef COOPERATIVE_TSAN
// ThreadSanitizer puts a signal's handler off until the code that the signal met comes to a function that it intercepts, and counts each fiber
// as a thread: a fiber that waits would keep the signal for as long. The length of a string is the cheapest such function.
inline std::size_t (*volatile tsan_intercepted)(const char*) = std::strlen;
#endif

// Inlined: the caller's own entry and exit are on the two sides of the switch, a function of its own would end on the other.
[[gnu::always_inline]] inline void tsan_switch([[maybe_unused]] void* fiber) {
#ifdef COOPERATIVE_TSAN
  tsan_intercepted("");
  __tsan_switch_to_fiber(fiber, 0);
#endif
}

}  // namespace cooperative::internal
