#pragma once

// Callbacks of a scheduler in a queue of their own, with a bound.
//
//     co::CallbackQueue updates(here, {.max = 100, .when_full = co::WhenFull::drop_oldest});
//     updates.callback([v] { update_display(v); });           // on any thread
//
// They run in order, one at a time, in a fiber of their own: one that waits keeps only those of its queue waiting. What they throw is
// logged. The destructor drops those that have not begun, logs how many those were, and waits for one that runs, but from inside it.
//
// Thread safety: every member may be called from any thread or fiber, but not beside the destructor.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "cooperative/internal/scheduler/call.h"
#include "cooperative/scheduler.h"
#include "mothreads/executor.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/posted.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {

using mothreads::WhenFull;

struct CallbackQueueOptions {
  std::string name = "callbacks";
  std::size_t max = 1000;  // so many may wait for their turn
  WhenFull when_full = WhenFull::block;
  std::size_t stack_size = 0;  // of the fiber that runs them, as FiberOptions'; 0 for what the scheduler's callbacks have
};

class [[nodiscard]] CallbackQueue {
 public:
  // Throws mothreads::Misuse when max is zero.
  [[nodiscard]] explicit CallbackQueue(const Scheduler& scheduler, const CallbackQueueOptions& options = {});
  ~CallbackQueue();
  CallbackQueue(const CallbackQueue&) = delete;
  CallbackQueue& operator=(const CallbackQueue&) = delete;

  // `ready` when it is in the queue, `closed` when the scheduler has ended, `full`, or how the wait for room ended: then the function is
  // untouched. Who had to wait comes before who posts later. Throws mothreads::Misuse when a callback of this queue would wait for room in
  // it, which only it can make. The callback may destroy the queue.
  template <typename F>
    requires std::invocable<std::decay_t<F>&>
  mothreads::Posted callback(F&& function, const mothreads::Until& until = {}) {
    if (internal::is_empty_function(function)) [[unlikely]] Scheduler::refuse_empty_function();
    mothreads::internal::Context::spend_act();
    internal::CallOnOffer<F> call(std::forward<F>(function));
    const mothreads::Posted posted = post(*call, until);
    if (posted) call.is_taken();
    return posted;
  }

  // As Scheduler::callback_result, in its turn among these also on the scheduler's own thread; the limit is also for the wait for room.
  // Throws Closed, too, when it was dropped because the queue was full, and mothreads::Misuse in a callback of this queue, which would
  // wait for its own end.
  template <typename F>
  auto callback_result(F&& function, const mothreads::Until& until = {}) {
    return callback_result(std::forward<F>(function), RunIn::own_fiber, until);
  }
  template <typename F>
  auto callback_result(F&& function, RunIn run_in, const mothreads::Until& until = {}) {
    check_not_inside();
    return scheduler_.result_of(run_in, function, until,
                                [this](internal::Call& call, mothreads::Limit limit) { return post(call, limit); });
  }

  // Posts as callback() does, but never waits for room: it is `full` then also where WhenFull says to block. An Executor does not keep the
  // queue, and may outlive it: it is `closed` when the queue or its scheduler has ended.
  explicit(false) operator mothreads::Executor() const;

  std::size_t size() const;        // waiting for their turn
  std::uint64_t dropped() const;   // because it was full; the first is logged

 private:
  class State;
  class Target;
  // Refused, the call is still the caller's.
  mothreads::Posted post(internal::Call& call, const mothreads::Until& until);
  void check_not_inside() const;

  const Scheduler scheduler_;
  const std::shared_ptr<State> state_;
};

}  // namespace cooperative
