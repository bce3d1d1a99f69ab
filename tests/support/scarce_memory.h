#pragma once

// Lets each allocation of a piece of code fail in turn. Replaces operator new in the program that links it.

#include <gtest/gtest.h>

#include <new>

#include "absl/functional/function_ref.h"

namespace mothreads::testing {

// From now on the allocation of this thread that comes after so many others throws std::bad_alloc, once.
void fail_allocation_after(int others) noexcept;
// No more. Whether one has failed.
bool end_failing() noexcept;

// Calls `attempt` with its first allocation failing, then with its second, and so on until none fails any more. It makes all that it uses,
// and calls `scarce` with what is to be tried: that gives whether it threw std::bad_alloc.
using Scarce = absl::FunctionRef<bool(absl::FunctionRef<void()>)>;
inline void with_each_allocation_failing(absl::FunctionRef<void(Scarce scarce)> attempt) {
  for (int others = 0;; ++others) {
    SCOPED_TRACE(::testing::Message() << "after " << others << " others an allocation fails");
    bool has_failed = false;
    attempt([&](absl::FunctionRef<void()> verb) {
      bool has_thrown = false;
      fail_allocation_after(others);
      try {
        verb();
      } catch (const std::bad_alloc&) {
        has_thrown = true;
      }
      has_failed = end_failing() || has_failed;
      return has_thrown;
    });
    if (!has_failed || ::testing::Test::HasFailure()) return;
  }
}

}  // namespace mothreads::testing
