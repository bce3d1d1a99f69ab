#pragma once

// The target that the copies of an Executor share.

#include <atomic>
#include <cstdint>
#include <string>

#include "absl/functional/any_invocable.h"
#include "mothreads/posted.h"

namespace mothreads::inline v0::internal {

class ExecutorTarget {
 public:
  ExecutorTarget() = default;
  ExecutorTarget(const ExecutorTarget&) = delete;
  ExecutorTarget& operator=(const ExecutorTarget&) = delete;

  // From any thread; never blocks. The function, which is not empty, is moved away only when it was taken.
  virtual Posted post(absl::AnyInvocable<void()>& function) const = 0;
  virtual std::string name() const = 0;

  void ref() const noexcept { references_.fetch_add(1, std::memory_order_relaxed); }  // relaxed: made from one that exists
  void unref() const noexcept {
    // acq_rel: the last owner's destruction comes after what the others did.
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

 protected:
  virtual ~ExecutorTarget() = default;

 private:
  mutable std::atomic<std::uint32_t> references_{1};
};

// How a user's loop is given a function.
using GiveToLoop = absl::AnyInvocable<Posted(absl::AnyInvocable<void()>) const>;

}  // namespace mothreads::internal
