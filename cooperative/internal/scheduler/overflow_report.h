#pragma once

// Says by name which fiber's stack overflowed, before the process dies of it as it would have died anyway. A handler of SIGSEGV and
// SIGBUS, because nothing else learns of a touched guard; it runs on a stack of its own, the fiber's being full.

#include <cstddef>

namespace cooperative::inline v0::internal {

// The stack for signal handlers of one OS thread, for as long as it has a scheduler. Kept with the scheduler's core for the next
// thread, never freed.
class SignalStack {
 public:
  SignalStack() = default;
  SignalStack(const SignalStack&) = delete;
  SignalStack& operator=(const SignalStack&) = delete;

  // On the thread. Who has such a stack already, as under AddressSanitizer, keeps it. Without memory for one there is no report.
  void enter() noexcept;
  void leave() noexcept;

 private:
  char* memory_ = nullptr;
  std::size_t size_ = 0;
};

// Installs the handler, once in the process. It does what was to be done before about these signals, also for all faults that are
// no overflow: calls the handler that it found, or takes the default, so that a core dump shows where it was.
void report_overflows() noexcept;

}  // namespace cooperative::internal
