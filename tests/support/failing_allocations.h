#pragma once

// Makes operator new of the calling thread throw std::bad_alloc, to see what a verb leaves behind when memory runs out.
//
//     fail_each_allocation([&] { signal.then(f); }, [&] { EXPECT_FALSE(signal); })
//     with_each_allocation_failing([&](Scarce scarce) { Queue<int> queue; if (scarce([&] { queue.add(1); })) EXPECT_TRUE(queue.empty()); })
//
// What libraries that are linked dynamically allocate, the C++ library among them, and exceptions, do not fail.

#include <cstdint>
#include <new>

#include <gtest/gtest.h>

#include "absl/functional/function_ref.h"

namespace mothreads::inline v0::testing {

// In its scope one allocation of this thread fails: the first that comes after so many others.
class FailAllocation {
 public:
  explicit FailAllocation(std::uint64_t after) noexcept;
  ~FailAllocation();
  FailAllocation(const FailAllocation&) = delete;
  FailAllocation& operator=(const FailAllocation&) = delete;

  // Whether it has come to that.
  bool has_failed() const noexcept;
};

// Calls attempt() with its first allocation failing, then with its second, and so on, until none is left that could fail; after
// each call left() checks what is there. attempt() either throws std::bad_alloc, or does without that memory all that it is to
// do, which it checks itself. Returns how many allocations its last call made, which none failed in.
inline std::uint64_t fail_each_allocation(absl::FunctionRef<void()> attempt, absl::FunctionRef<void()> left = [] {}) {
  for (std::uint64_t number = 0;; ++number) {
    SCOPED_TRACE(::testing::Message() << "allocation " << number << " fails");
    bool has_failed = false;
    {
      FailAllocation failure(number);
      try {
        attempt();
      } catch (const std::bad_alloc&) {
        EXPECT_TRUE(failure.has_failed()) << "std::bad_alloc with memory left";
      }
      has_failed = failure.has_failed();
    }
    left();
    if (!has_failed) return number;
  }
}

// The same for what has to be made anew each time. `attempt` makes all that it uses, and calls `scarce` with what is to be tried: that gives
// whether it threw std::bad_alloc. It may be called more than once, each time with the same allocation failing.
using Scarce = absl::FunctionRef<bool(absl::FunctionRef<void()>)>;
inline void with_each_allocation_failing(absl::FunctionRef<void(Scarce scarce)> attempt) {
  for (std::uint64_t number = 0;; ++number) {
    SCOPED_TRACE(::testing::Message() << "allocation " << number << " fails");
    bool has_failed = false;
    attempt([&](absl::FunctionRef<void()> verb) {
      bool has_thrown = false;
      FailAllocation failure(number);
      try {
        verb();
      } catch (const std::bad_alloc&) {
        has_thrown = true;
      }
      has_failed = failure.has_failed() || has_failed;
      return has_thrown;
    });
    if (!has_failed || ::testing::Test::HasFailure()) return;
  }
}

}  // namespace mothreads::testing
