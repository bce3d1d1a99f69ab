#pragma once

// The end of the process without an orderly stop: past a stop's deadline, or by the third signal.

#include <unistd.h>

#include <atomic>

namespace mothreads::inline v0::internal {

// What the system does not take away with the process: for who starts other processes. Called on any thread or in a signal's handler, perhaps
// on several at once, so it does only what is async-signal-safe.
inline constinit std::atomic<void (*)() noexcept> at_sudden_end{nullptr};

[[noreturn]] inline void end_suddenly(int status) noexcept {
  // acquire: pairs with the release of who has set it.
  if (void (*const act)() noexcept = at_sudden_end.load(std::memory_order_acquire)) act();
  _exit(status);
}

}  // namespace mothreads::internal
