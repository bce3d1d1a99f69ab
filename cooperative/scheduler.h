#pragma once

// A scheduler, to talk to it from other threads.
//
//     co::Scheduler here = co::Scheduler::current();                       // a shared handle: copy it into the thread
//     here.callback([v] { update_display(v); });                           // on any thread; runs on the scheduler's, in order
//     double limit = here.callback_result([] { return current_limit(); }); // the same, and waits for the value
//
// Thread safety: every member may be called from any thread, also after the scheduler has ended.

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "cooperative/errors.h"
#include "cooperative/internal/mailbox.h"
#include "mothreads/signal.h"
#include "mothreads/until.h"

namespace cooperative {

namespace internal {

class SchedulerCore;

// A call whose caller waits for it.
class AwaitedCall {
 public:
  AwaitedCall();
  virtual ~AwaitedCall() = default;
  AwaitedCall(const AwaitedCall&) = delete;
  AwaitedCall& operator=(const AwaitedCall&) = delete;

  // In a fiber of its own on the scheduler's thread.
  virtual void perform() = 0;

  struct State;

 private:
  friend struct AwaitedCallBox;
  friend void await_call(const std::shared_ptr<AwaitedCall>& call, Mailbox& mailbox, SchedulerCore& core,
                         const mothreads::Until& until);
  std::shared_ptr<State> state_;
};

// Posts it and waits for its end. When the limit comes first: a call that has not begun is withdrawn, one that has is cancelled, and
// awaited; then throws Timedout. Throws Closed when the scheduler ends before its turn.
void await_call(const std::shared_ptr<AwaitedCall>& call, Mailbox& mailbox, SchedulerCore& core, const mothreads::Until& until);

}  // namespace internal

struct SchedulerStatistics {
  std::uint64_t switches;  // from one fiber to another
  std::uint64_t rounds;
  std::uint64_t sleeps;  // for want of anything to do
  std::uint64_t wakes;   // system calls of other threads to end a sleep
};

class Scheduler {
 public:
  // The calling thread's; made if it has none.
  static Scheduler current();

  // Asks it to call `function` in a fiber, after all that was asked before; one that waits keeps the later ones waiting. Never waits
  // itself. What it throws is logged. False when the scheduler has ended; one that ends before the function's turn drops it, and
  // logs how many it dropped.
  bool callback(absl::AnyInvocable<void()> function) const;

  // The same, in a fiber of its own, and waits for its result, or throws what it threw; on the scheduler's own thread simply calls
  // it. When the limit comes first throws Timedout, but not before the function is out of the way: one that has not begun never
  // will, one that has is cancelled, and awaited. So the function may use what the caller has by reference. Throws Closed when the
  // scheduler has ended.
  template <typename F>
  auto callback_result(F&& function, const mothreads::Until& until = {}) const;

  bool is_current() const;
  bool has_ended() const;

  // Only on its own thread; throws mothreads::Misuse elsewhere.
  SchedulerStatistics statistics() const;

 private:
  explicit Scheduler(internal::SchedulerCore& core);

  internal::SchedulerCore* core_;
  std::shared_ptr<internal::Mailbox> mailbox_;  // of that life of the core that this handle is for
};

template <typename F>
auto Scheduler::callback_result(F&& function, const mothreads::Until& until) const {
  using R = std::invoke_result_t<F&>;
  if (is_current()) return std::invoke(function);
  struct Nothing {};
  struct Call final : internal::AwaitedCall {
    explicit Call(F& its_function) : function(its_function) {}
    void perform() override {
      if constexpr (std::is_void_v<R>) {
        std::invoke(function);
      } else {
        result.emplace(std::invoke(function));
      }
    }
    F& function;  // the caller waits
    std::optional<std::conditional_t<std::is_void_v<R>, Nothing, R>> result;
  };
  const auto call = std::make_shared<Call>(function);
  internal::await_call(call, *mailbox_, *core_, until);
  if constexpr (!std::is_void_v<R>) return R(*std::move(call->result));
}

}  // namespace cooperative
