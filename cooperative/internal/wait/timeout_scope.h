#pragma once

// A limit for a part of what a fiber, or the root, runs: with_timeout(). When it comes, a wait inside is unwound as a cancelled fiber's is,
// but only as far as to the scope.

#include <exception>
#include <optional>

#include "cooperative/fiber.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/internal/wait/timer_wheel.h"
#include "mothreads/signal.h"
#include "mothreads/until.h"

namespace cooperative::inline v0::internal {

class TimeoutScope final : private mothreads::internal::UnwindScope, private mothreads::internal::TimerNode {
 public:
  explicit TimeoutScope(const mothreads::Until& until);
  ~TimeoutScope() { leave(); }
  TimeoutScope(const TimeoutScope&) = delete;
  TimeoutScope& operator=(const TimeoutScope&) = delete;

  // In a handler of what has left the scope. Throws Timedout where that is because of this limit; else it is to be thrown on.
  void left_by_exception();

 private:
  static const mothreads::internal::TimerOps kOps;

  void come(mothreads::Why why) noexcept;
  void watch(mothreads::Limit limit);
  void leave() noexcept;

  SchedulerCore& core_;
  mothreads::internal::Context& context_;
  bool is_in_force_ = true;
  mothreads::Why why_ = mothreads::Why::timed_out;  // once the limit has come
  // Of a limit that is more than a time of the scheduler's clock.
  std::optional<mothreads::Signal> left_;
  Fiber<void> watcher_;
};

}  // namespace cooperative::internal
