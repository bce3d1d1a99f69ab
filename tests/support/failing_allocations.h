#pragma once

// Makes operator new of the calling thread throw std::bad_alloc, to see what a verb leaves behind when memory runs out.
//
//     fail_each_allocation([&] { signal.then(f); }, [&] { EXPECT_FALSE(signal); })
//
// The program that links this has operators of its own, also under a sanitizer. What the C library allocates for itself, and
// exceptions, do not fail.

#include <cstdint>
#include <new>

#include <gtest/gtest.h>

#include "absl/functional/function_ref.h"

namespace mothreads::testing {

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

}  // namespace mothreads::testing
