#pragma once

// A scheduler, to talk to it from other threads.
//
//     co::Scheduler here = co::Scheduler::current();                       // a shared handle: copy it into the thread
//     here.callback([v] { update_display(v); });                           // on any thread; runs on the scheduler's, in order
//     double limit = here.callback_result([] { return current_limit(); }); // the same, and waits for the value
//
// Thread safety: every member may be called from any thread, also after the scheduler has ended.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "absl/functional/function_ref.h"
#include "cooperative/errors.h"
#include "cooperative/fiber_look.h"
#include "cooperative/internal/scheduler/call.h"
#include "cooperative/internal/scheduler/mailbox.h"
#include "cooperative/internal/wait/awaited_call.h"
#include "mothreads/ended.h"
#include "mothreads/executor.h"
#include "mothreads/posted.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {

// Where the function of a callback_result() runs.
enum class RunIn : bool {
  own_fiber,  // a new one: it may wait as long as it likes
  callbacks,  // that of the callbacks, in their order: while it waits, the later ones do
};

// Options that are not given stay as they are.
struct SchedulerOptions {
  std::optional<std::size_t> max_fibers = std::nullopt;  // so many at a time, those included that have not begun; default internal::kDefaultMaxFibers
  // The stack of the fibers for callbacks, and for the functions of callback_result(), that begin from now on: bytes, 0 for FiberOptions' default. A
  // CallbackQueue has an option of its own.
  std::optional<std::size_t> callback_stack_size = std::nullopt;
  // So many operations of one fiber in a row that need no wait; then every fiber that is ready has a turn before the next, and the kernel is
  // asked for more at the usual times. Default 4. Shrapnel's name: see cooperative/io/selfishness.h.
  std::optional<std::uint32_t> selfishness = std::nullopt;
};

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
  // itself. What it throws is logged. When the scheduler has ended: `closed`, and the function is untouched; one that ends before the
  // function's turn drops it, and logs how many it dropped.
  template <typename F>
    requires std::invocable<std::decay_t<F>&>
  mothreads::Posted callback(F&& function) const {
    if (internal::is_empty_function(function)) [[unlikely]] refuse_empty_function();
    internal::CallOnOffer<F> call(std::forward<F>(function));
    const mothreads::Posted posted = post(*call);
    if (posted) call.is_taken();
    return posted;
  }

  // The same, in a fiber of its own, and waits for its result, or throws what it threw; on the scheduler's own thread simply calls
  // it, at once and without the limit. When the limit comes first throws Timedout, but not before the function is out of the way: one
  // that has not begun never will, one that has is cancelled, and awaited. So the function may use what the caller has by reference.
  // Throws Closed when the scheduler has ended, WasCancelled when it ended meanwhile, and mothreads::Misuse in a then() function on a
  // thread of the library, which nothing may block. With RunIn::callbacks the function runs among the callbacks, in order, on the
  // scheduler's own thread, too; a callback that asks for it would wait for its own end, and gets mothreads::Misuse.
  template <typename F>
  auto callback_result(F&& function, const mothreads::Until& until = {}) const {
    return callback_result(std::forward<F>(function), RunIn::own_fiber, until);
  }
  template <typename F>
  auto callback_result(F&& function, RunIn run_in, const mothreads::Until& until = {}) const {
    if (run_in == RunIn::own_fiber && is_current()) return std::invoke(function);
    check_not_in_callbacks();
    return result_of(run_in, function, until, [this](internal::Call& call, mothreads::Limit) { return post(call); });
  }

  // Only on its own thread; throws mothreads::Misuse elsewhere, and for a selfishness of 0: then nothing has changed.
  void set_options(const SchedulerOptions& options) const;

  // Posts as callback() does. An Executor does not keep the scheduler running, and is `closed` when it has ended.
  explicit(false) operator mothreads::Executor() const;

  bool is_current() const;
  bool has_ended() const;

  // Only on its own thread; throws mothreads::Misuse elsewhere.
  SchedulerStatistics statistics() const;

  // Calls `see` with what each of its fibers does. Its thread is neither asked nor stopped, nor interrupted by a signal, so it costs that nothing. A
  // fiber that is there all the time is seen once; one that comes or goes meanwhile may be seen. None when the scheduler has ended. The order is
  // none in particular. Blocks for nothing; holds no lock.
  void look(absl::FunctionRef<void(const FiberLook& fiber)> see) const;

 private:
  friend class CallbackQueue;
  friend class HandlerCallback;

  explicit Scheduler(internal::SchedulerCore& core);
  mothreads::Posted post(internal::Call& call) const;
  void check_not_in_callbacks() const;
  template <typename F>
  std::invoke_result_t<F&> result_of(RunIn run_in, F& function, const mothreads::Until& until, internal::PostCall post_call) const;
  [[noreturn]] static void refuse_empty_function();

  internal::SchedulerCore* core_;
  std::shared_ptr<internal::Mailbox> mailbox_;  // of that life of the core that this handle is for
};

template <typename F>
std::invoke_result_t<F&> Scheduler::result_of(RunIn run_in, F& function, const mothreads::Until& until,
                                              internal::PostCall post_call) const {
  using R = std::invoke_result_t<F&>;
  static_assert(!std::is_reference_v<R>, "the result of a callback cannot be a reference: return a pointer or std::ref()");
  struct Nothing {};
  struct Awaited final : internal::AwaitedCall {
    explicit Awaited(F& its_function) : function(its_function) {}
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
  const auto call = std::make_shared<Awaited>(function);
  const std::shared_ptr<internal::Mailbox> mailbox = mailbox_;  // the function may destroy this handle
  internal::await_call(call, run_in, post_call, mailbox, *core_, mothreads::Limit(until));
  if constexpr (!std::is_void_v<R>) return R(*std::move(call->result));
}

}  // namespace cooperative
