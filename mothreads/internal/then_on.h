#pragma once

// The exceptions of a then() function on an executor.

#include <exception>

#include "absl/functional/any_invocable.h"

namespace mothreads::inline v0::internal {

// Calls `function`, and `on_error` with what it throws, but for what unwinds the fiber or the thread that runs it. Throws Misuse for an
// empty function.
absl::AnyInvocable<void()> with_error_function(absl::AnyInvocable<void()> function,
                                               absl::AnyInvocable<void(std::exception_ptr)> on_error);

}  // namespace mothreads::internal
