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

#if defined(__clang__) && __clang_major__ < 17

// The runtime leaves the locks of its allocator as they are while fork() runs, and lets nobody else take them: a child of a process whose
// threads allocate would hang in its allocator now and then. A thread that sleeps has none of these locks. So a fork() waits until all others
// sleep, or for a second, where one never does.

#include <dirent.h>
#include <pthread.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace {

// The state of a thread stands behind its name, which is in parentheses and may have some itself: proc(5).
bool runs(pid_t thread) {
  char text[256];
  std::snprintf(text, sizeof text, "/proc/self/task/%d/stat", thread);
  std::FILE* const file = std::fopen(text, "re");
  if (file == nullptr) return false;  // it has ended
  const std::size_t size = std::fread(text, 1, sizeof text - 1, file);
  std::fclose(file);
  text[size] = '\0';
  const char* const behind_name = std::strrchr(text, ')');
  return behind_name != nullptr && (std::strncmp(behind_name, ") R", 3) == 0 || std::strncmp(behind_name, ") D", 3) == 0);
}

bool another_runs() {
  DIR* const threads = opendir("/proc/self/task");
  if (threads == nullptr) return false;
  bool found = false;
  while (const dirent* entry = found ? nullptr : readdir(threads)) {
    const pid_t thread = std::atoi(entry->d_name);  // 0 of "." and ".."
    found = thread != 0 && thread != gettid() && runs(thread);
  }
  closedir(threads);
  return found;
}

void before_fork() {
  constexpr timespec kPause{.tv_sec = 0, .tv_nsec = 100'000};
  for (int pauses = 0; pauses < 10'000 && another_runs(); ++pauses) nanosleep(&kPause, nullptr);
}

// Before all other handlers are registered: then it is the last before a fork().
__attribute__((constructor(101))) void take_part_in_forks() { pthread_atfork(before_fork, nullptr, nullptr); }

}  // namespace

#endif

extern "C" const char* __tsan_default_options();
extern "C" const char* __tsan_default_options() {
  // A child of a process with threads may start some of its own: docs/process_edges.md. Threads that are left when a program ends run on for
  // 100 ms (the default, one second, was half of the time of some tests).
  return "second_deadlock_stack=1:history_size=4:die_after_fork=0:atexit_sleep_ms=100";
}

extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() {
  // The first orders its slots by fences, which ThreadSanitizer does not follow. The second counts references by atomics in libstdc++.so, which
  // it does not see: an exception that several threads have, as those of end records, seems to be freed under the others. EPICS has locks and threads of
  // its own, which no sanitizer has compiled; its threads stay undetached (epics.cc). A race within libca.so is reported: libca calls functions of the
  // library, and their races have it in their stacks, too.
  return "race:moodycamel::\nrace:std::__exception_ptr::exception_ptr::_M_release\n"
         "deadlock:libCom.so\nthread:epicsThreadCreateOpt\nthread:catools::v0::internal::\n";
}

#endif
