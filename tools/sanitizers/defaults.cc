// What the sanitizers' runtimes ask a program for when it starts, so that a program run by hand behaves as it does in
// the tests. The variables ASAN_OPTIONS, LSAN_OPTIONS, TSAN_OPTIONS and UBSAN_OPTIONS still override it.
// Without a sanitizer this file is empty.

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MO_ADDRESS_SANITIZER
#endif
#if __has_feature(thread_sanitizer)
#define MO_THREAD_SANITIZER
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define MO_ADDRESS_SANITIZER
#endif
#if defined(__SANITIZE_THREAD__)
#define MO_THREAD_SANITIZER
#endif

#if defined(MO_ADDRESS_SANITIZER)

#if defined(__clang__) && __clang_major__ < 17

// Before version 17 clang's runtime does not hold its own locks while fork() runs: a child of a process whose threads allocate would hang
// in its allocator now and then.

#include <pthread.h>

namespace __sanitizer {
void StackDepotLockAll();
void StackDepotUnlockAll();
}  // namespace __sanitizer

namespace __lsan {
void LockAllocator();
void UnlockAllocator();
void LockThreadRegistry();
void UnlockThreadRegistry();
}  // namespace __lsan

namespace {

void before_fork() {
  __lsan::LockThreadRegistry();
  __lsan::LockAllocator();
  __sanitizer::StackDepotLockAll();
}

void after_fork() {
  __sanitizer::StackDepotUnlockAll();
  __lsan::UnlockAllocator();
  __lsan::UnlockThreadRegistry();
}

// Before all other handlers are registered: then it is the last before a fork(), and the first after it.
__attribute__((constructor(101))) void take_part_in_forks() { pthread_atfork(before_fork, after_fork, after_fork); }

}  // namespace

#endif

extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() {
  // A wait node lives on its waiter's stack: a use after the wait has returned must not go unseen.
  return "detect_stack_use_after_return=1:detect_leaks=1:strict_init_order=1:check_initialization_order=1";
}

extern "C" const char* __ubsan_default_options();
extern "C" const char* __ubsan_default_options() { return "print_stacktrace=1"; }

#elif defined(MO_THREAD_SANITIZER)

extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() {
  // A child of a process with threads may start some of its own: docs/process_edges.md.
  return "second_deadlock_stack=1:history_size=4:die_after_fork=0";
}

extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() {
  // The first orders its slots by fences, which ThreadSanitizer does not follow. The second counts references by atomics in libstdc++.so, which
  // it does not see: an exception that several threads have, as those of end records, seems to be freed under the others.
  return "race:moodycamel::\nrace:std::__exception_ptr::exception_ptr::_M_release\n";
}

#endif
