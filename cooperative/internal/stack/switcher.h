#pragma once

// Which stack a scheduler's thread is on, and how it gets to another: the switch itself (switch.h), with what the C++ runtime and the
// sanitizers keep for each stack. For one life of a scheduler, on its thread.

#include <cstddef>
#include <cstdint>
#include <utility>

#include "cooperative/internal/stack/runnable.h"
#include "cooperative/internal/stack/sanitizers.h"
#include "cooperative/internal/stack/switch.h"
#include "mothreads/internal/wait/context.h"

namespace cooperative::inline v0::internal {

// The C++ ABI's own picture of it (Itanium C++ ABI: Exception Handling, 2.2.2).
struct EhGlobals {
  void* caught_exceptions;
  unsigned int uncaught_exceptions;
};

class Switcher {
 public:
  // The calling code is on the root's stack, which is the thread's own.
  explicit Switcher(Runnable& root) noexcept;
  Switcher(const Switcher&) = delete;
  Switcher& operator=(const Switcher&) = delete;

  Runnable& running() const noexcept { return *running_; }
  // Without a switch: the stack has been handed on, or somebody else switches.
  void set_running(Runnable& runnable) noexcept { running_ = &runnable; }
  std::uint64_t switches() const noexcept { return switches_; }

  // Comes back when somebody switches back.
  [[gnu::always_inline]] inline void switch_to(Runnable& from, Runnable& to) noexcept;
  // Never: the stack of who calls is done with.
  [[noreturn, gnu::always_inline]] inline void leave_for(Runnable& to) noexcept;
  // The first of a new stack.
  [[gnu::always_inline]] inline void arrive(void* fake_stack) noexcept;
  // From a fiber that has ended to one that begins, on the same stack.
  [[gnu::always_inline]] void hand_stack_to(Runnable& to) noexcept {
    running_ = &to;
    mothreads::internal::Context::set_current(to.context);
    load_exceptions(to);
  }

  // Of the exceptions that are under way in a context of this thread.
  unsigned int uncaught_exceptions_of(const Runnable& runnable) const noexcept {
    return &runnable == running_ ? eh_globals_->uncaught_exceptions : runnable.uncaught_exceptions;
  }

  // For a root whose stack is not the thread's own: in a test world that one is who called World::run().
  struct OwnStack {
    const void* lowest = nullptr;  // for the sanitizers
    std::size_t size = 0;
    void* tsan_fiber = nullptr;
  };
  void set_own_stack(const OwnStack& own) noexcept { own_ = own; }

 private:
  // A Runnable's copy is empty while it runs.
  void load_exceptions(Runnable& to) noexcept {
    EhGlobals& globals = *eh_globals_;
    globals.caught_exceptions = std::exchange(to.caught_exceptions, nullptr);
    globals.uncaught_exceptions = std::exchange(to.uncaught_exceptions, 0u);
  }
  void swap_exceptions(Runnable& from, Runnable& to) noexcept;
  // Few fibers wait with one.
  bool has_exceptions(const Runnable& to) const noexcept {
    const EhGlobals& globals = *eh_globals_;
    return (reinterpret_cast<std::uintptr_t>(globals.caught_exceptions) | reinterpret_cast<std::uintptr_t>(to.caught_exceptions) |
            globals.uncaught_exceptions | to.uncaught_exceptions) != 0;
  }
  // Inlined because of tsan_switch().
  [[gnu::always_inline]] void announce(void** fake_stack, const Runnable& to) const noexcept {
    if (to.stack != nullptr) {
      asan_leave(fake_stack, to.stack->lowest, static_cast<std::size_t>(to.stack->top - to.stack->lowest));
      tsan_switch(to.stack->tsan_fiber);
    } else {
      asan_leave(fake_stack, own_.lowest, own_.size);
      tsan_switch(own_.tsan_fiber);
    }
  }

  Runnable* running_;
  EhGlobals* eh_globals_;
  std::uint64_t switches_ = 0;
  OwnStack own_;
};

inline void Switcher::arrive(void* fake_stack) noexcept {
  if constexpr (kAsan) {
    const void* left = nullptr;
    std::size_t size = 0;
    asan_arrive(fake_stack, &left, &size);
    if (own_.lowest == nullptr) {  // the first switch came from the root
      own_.lowest = left;
      own_.size = size;
    }
  }
}

inline void Switcher::switch_to(Runnable& from, Runnable& to) noexcept {
  ++switches_;
  running_ = &to;
  mothreads::internal::Context::set_current(to.context);
  if (has_exceptions(to)) [[unlikely]] swap_exceptions(from, to);
  if constexpr (kAsan || kTsan) announce(&from.asan_fake_stack, to);
  switch_stack(&from.stack_pointer, to.stack_pointer);
  arrive(from.asan_fake_stack);
}

inline void Switcher::leave_for(Runnable& to) noexcept {
  ++switches_;
  running_ = &to;
  mothreads::internal::Context::set_current(to.context);
  load_exceptions(to);
  tsan_leave_bottom();
  if constexpr (kAsan || kTsan) announce(nullptr, to);
  void* nowhere = nullptr;
  switch_stack(&nowhere, to.stack_pointer);
  __builtin_unreachable();
}

}  // namespace cooperative::internal
