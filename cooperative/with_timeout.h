#pragma once

// A function with a limit for all its waits.
//
//     auto page = co::with_timeout(absl::Seconds(3), [] { return fetch("c"); });
//
// The function runs in the caller itself, on the caller's stack and with the caller's locks, and may use by reference what the caller has: the limit
// unwinds the caller as far as to the call.
//
// When not to use it: for a single wait, which takes its limit itself.

#include <concepts>
#include <functional>
#include <type_traits>

#include "cooperative/internal/wait/timeout_scope.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {

// Calls it in this fiber, or this root, and gives its result or throws what it throws. When the limit comes first, the wait in which the
// function is, or its next one, throws FiberCancelled, as do those after it; then this throws Timedout or Stopped. What the function gives although the
// limit has come is not lost. Of several, one inside the other, each ends by its own limit; what cancels the fiber goes through them all.
template <std::invocable F>
auto with_timeout(const mothreads::Until& until, F&& function) -> std::invoke_result_t<F&> {
  internal::TimeoutScope scope(until);
  try {
    return std::invoke(function);
  } catch (...) {
    scope.left_by_exception();
    throw;
  }
}

}  // namespace cooperative
