#include "cooperative/internal/wait/awaited_call.h"

#include <cxxabi.h>

#include <exception>
#include <mutex>
#include <stdexcept>
#include <utility>

#include "cooperative/errors.h"
#include "cooperative/internal/scheduler/fiber_job.h"
#include "cooperative/internal/scheduler/fiber_life.h"
#include "cooperative/internal/scheduler/posting.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/internal/wait/home.h"
#include "cooperative/scheduler.h"
#include "mothreads/internal/tree/node.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"

namespace cooperative::inline v0::internal {

using mothreads::Ended;
using mothreads::Limit;
using mothreads::Why;

// The state that the caller and the scheduler's thread share; the function and its result are the caller's.
struct AwaitedCall::State {
  enum class Phase : std::uint8_t { waiting, begun, withdrawn, closed, ended };

  // True when it was this call that moved it.
  bool move(Phase from, Phase to) {
    std::lock_guard lock(mutex);
    if (phase != from) return false;
    phase = to;
    return true;
  }
  Phase now() {
    std::lock_guard lock(mutex);
    return phase;
  }

  std::mutex mutex;
  Phase phase = Phase::waiting;
  const mothreads::Signal done{"the end of a callback_result()"};
  std::exception_ptr failure;  // written before `done`
  bool was_cancelled = false;  // likewise

  FiberBlock* fiber = nullptr;  // runs it, or will; only on the scheduler's thread
};

AwaitedCall::AwaitedCall() : state_(std::make_shared<State>()) {}

// A call whose turn has come: the function of its fiber, or a part of the callbacks'. It tells the caller of the end, also when its fiber
// ends before it has begun.
class AwaitedCallTurn {
 public:
  AwaitedCallTurn(std::shared_ptr<AwaitedCall> call, std::shared_ptr<AwaitedCall::State> state)
      : call_(std::move(call)), state_(std::move(state)) {}
  AwaitedCallTurn(AwaitedCallTurn&&) noexcept = default;
  ~AwaitedCallTurn() {
    if (state_) end();
  }

  __attribute__((no_sanitize("null"))) void take_in(FiberBlock& fiber) {
    state_->fiber = &fiber;
    has_begun_ = true;
    try {
      call_->perform();
    } catch (const FiberCancelled&) {
      state_->was_cancelled = true;
      throw;
    } catch (abi::__forced_unwind&) {
      state_->failure = std::make_exception_ptr(std::runtime_error("the function of a callback_result() was ended by pthread_exit() or pthread_cancel(): let it return"));
      throw;
    } catch (...) {
      state_->failure = std::current_exception();
    }
  }

  void operator()() { take_in(*state_->fiber); }

  static void take_in_own_fiber(AwaitedCallTurn turn) {
    AwaitedCall::State& state = *turn.state_;
    SchedulerCore& core = SchedulerCore::current();
    try {
      core.rooms().population.check_limit("callback_result");
      state.fiber = &make_fiber(core, "callback_result", nullptr);
    } catch (...) {
      state.failure = std::current_exception();
      return;
    }
    FiberBlock& fiber = *state.fiber;
    core.rooms().stacks.give_callback_size(fiber);
    put_job<AwaitedCallTurn, void>(fiber, std::move(turn));
    start(fiber);
    tell_if_late(fiber);
  }

 private:
  void end() noexcept {
    FiberBlock* const fiber = std::exchange(state_->fiber, nullptr);
    if (!has_begun_ && fiber != nullptr) {
      state_->failure = std::exchange(fiber->failure, nullptr);  // there was no stack for it
      state_->was_cancelled = !state_->failure;
    }
    call_ = nullptr;  // what the function gave is the caller's, who may go as soon as it knows
    state_->move(AwaitedCall::State::Phase::begun, AwaitedCall::State::Phase::ended);
    state_->done.go();
  }

  std::shared_ptr<AwaitedCall> call_;
  std::shared_ptr<AwaitedCall::State> state_;
  bool has_begun_ = false;
};

// The posted call. One that is dropped before its turn says so to the caller.
struct AwaitedCallBox {
  using State = AwaitedCall::State;
  using Phase = State::Phase;

  AwaitedCallBox(const std::shared_ptr<AwaitedCall>& its_call, RunIn where) : call(its_call), state(its_call->state_), run_in(where) {}
  AwaitedCallBox(AwaitedCallBox&&) = default;
  ~AwaitedCallBox() {
    if (state && state->move(Phase::waiting, Phase::closed)) state->done.go();
  }

  void operator()() {
    if (!state->move(Phase::waiting, Phase::begun)) return;
    AwaitedCallTurn turn(std::move(call), std::move(state));
    if (run_in == RunIn::callbacks) {
      turn.take_in(*SchedulerCore::current().running_fiber());
    } else {
      AwaitedCallTurn::take_in_own_fiber(std::move(turn));
    }
  }

  std::shared_ptr<AwaitedCall> call;
  std::shared_ptr<State> state;
  RunIn run_in;
};

namespace {

// The caller goes: takes the function back, or cancels it and waits until it has ended. True when it ended by itself after all.
bool abandon(const std::shared_ptr<AwaitedCall::State>& state, const std::shared_ptr<Mailbox>& mailbox, SchedulerCore& core) {
  using Phase = AwaitedCall::State::Phase;
  if (state->move(Phase::waiting, Phase::withdrawn)) return false;
  const mothreads::internal::NoUnwind whole;
  may_be_interrupted(*mailbox);
  // An errand: a callback that waits must not keep it waiting. When the scheduler has ended, so has the function.
  post(core, *mailbox, make_call<Errand::yes>([state] {
    if (state->fiber != nullptr) Stopping::cancel(*state->fiber);
  }));
  may_be_interrupted(*mailbox);
  state->done.wait();
  return !state->was_cancelled;
}

}  // namespace

void await_call(const std::shared_ptr<AwaitedCall>& call, RunIn run_in, PostCall post, const std::shared_ptr<Mailbox>& mailbox,
                SchedulerCore& core, Limit limit) {
  using Phase = AwaitedCall::State::Phase;
  check_caller(*mailbox, "Scheduler::callback_result()");
  if (mothreads::internal::Context::current().care.must_not_block) {
    throw mothreads::Misuse("Deadlock detected: a function given to Signal::then() called callback_result() on a thread of the library, "
                            "which nothing may block; let it post a callback, or start a thread");
  }
  const std::shared_ptr<AwaitedCall::State>& shared = call->state_;
  AwaitedCall::State& state = *shared;
  AwaitedCallBox box(call, run_in);
  const mothreads::Posted posted = [&] {
    CallOnOffer<AwaitedCallBox> offer(std::move(box));
    const mothreads::Posted result = post(*offer, limit);
    if (result) offer.is_taken();
    return result;
  }();
  if (posted.why() == Why::closed) throw Closed("callback_result", "callback_result() on a scheduler that has ended");
  // A queue that refuses when it is full has waited for no time at all.
  const Why why = posted.why() == Why::full ? Why::timed_out : posted.why();
  if (!posted) throw_wait_ended("room for a callback", why, ": the function was not called");
  Ended awaited = Why::ready;
  try {
    awaited = state.done.wait(limit);
  } catch (...) {
    // This context is cancelled itself.
    abandon(shared, mailbox, core);
    // It goes before the caller does: it may hold what is the caller's.
    if (state.failure) {
      mothreads::internal::report_unclaimed_failure("function", "callback_result", std::exchange(state.failure, nullptr));
    }
    throw;
  }
  may_be_interrupted(*mailbox);
  if (!awaited && !abandon(shared, mailbox, core)) throw_wait_ended("callback result", awaited.why(), ": the function was withdrawn or cancelled");
  if (state.now() == Phase::closed) throw Closed("callback_result", "the function of a callback_result() was dropped before its turn: its scheduler ended, or its queue was full");
  if (state.failure) std::rethrow_exception(std::exchange(state.failure, nullptr));
  if (state.was_cancelled) throw WasCancelled("the function of a callback_result() was cancelled");
}

}  // namespace cooperative::internal
