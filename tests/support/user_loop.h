#pragma once

// A loop that is not the library's: the test says when it runs what was posted to it, and when it takes no more.

#include <deque>
#include <mutex>
#include <string_view>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "mothreads/executor.h"

namespace mothreads::inline v0::testing {

class UserLoop {
 public:
  Executor executor(std::string_view name = "user's loop") {
    return Executor::of(name, [this](absl::AnyInvocable<void()> function) {
      const std::lock_guard lock(mutex_);
      if (!closed_) functions_.push_back(std::move(function));
      return !closed_;
    });
  }
  operator Executor() { return executor(); }  // as the library's own convert

  // Runs the first; false when there is none. What it throws leaves this.
  bool run_one() {
    absl::AnyInvocable<void()> function;
    {
      const std::lock_guard lock(mutex_);
      if (functions_.empty()) return false;
      function = std::move(functions_.front());
      functions_.pop_front();
    }
    function();
    return true;
  }
  int run_all() {
    int count = 0;
    while (run_one()) ++count;
    return count;
  }
  // Takes no more; what it has stays.
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  void drop_all() {
    std::deque<absl::AnyInvocable<void()>> dropped;
    const std::lock_guard lock(mutex_);
    functions_.swap(dropped);
  }

 private:
  std::mutex mutex_;
  std::deque<absl::AnyInvocable<void()>> functions_;
  bool closed_ = false;
};

}  // namespace mothreads::testing
