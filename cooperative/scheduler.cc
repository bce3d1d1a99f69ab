#include "cooperative/scheduler.h"

#include <mutex>
#include <utility>

#include "cooperative/fiber.h"
#include "cooperative/internal/scheduler_core.h"
#include "mothreads/contexts/context.h"
#include "mothreads/contexts/node.h"
#include "mothreads/contexts/wait.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"

namespace cooperative {

using mothreads::Ended;
using mothreads::Until;
using mothreads::Why;
using mothreads::internal::Context;
using mothreads::internal::Wait;

namespace internal {

// What the caller and the scheduler's thread share; the function and its result are the caller's.
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
  const mothreads::Signal done;
  std::exception_ptr failure;  // written before `done`
  bool was_cancelled = false;  // likewise

  // Only on the scheduler's thread.
  FiberBlock* fiber = nullptr;  // while it runs
  bool is_cancelled = false;
};

AwaitedCall::AwaitedCall() : state_(std::make_shared<State>()) {}

// What is posted. Dropped before its turn, it says so to the caller.
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
    if (run_in == RunIn::callbacks) return perform(std::move(call), state);
    Performer performer(std::move(call), state);
    try {
      cooperative::spawn("callback_result", std::move(performer)).release();
    } catch (...) {
      if (performer.state == nullptr) throw;  // it has told the caller
      performer.state = nullptr;
      state->failure = std::current_exception();
      end(*state);
    }
  }

  // What its fiber runs. Gone without having run, because that was cancelled before it began, it says so to the caller.
  struct Performer {
    Performer(std::shared_ptr<AwaitedCall> its_call, std::shared_ptr<State> its_state)
        : call(std::move(its_call)), state(std::move(its_state)) {}
    Performer(Performer&&) noexcept = default;
    ~Performer() {
      if (state == nullptr) return;
      state->was_cancelled = true;
      end(*state);
    }
    void operator()() { perform(std::move(call), std::exchange(state, nullptr)); }

    std::shared_ptr<AwaitedCall> call;
    std::shared_ptr<State> state;
  };

  static void perform(std::shared_ptr<AwaitedCall> its_call, const std::shared_ptr<State>& state) {
    struct AtEnd {
      State& state;
      ~AtEnd() { end(state); }
    } at_end{*state};
    const std::shared_ptr<AwaitedCall> call = std::move(its_call);  // let go before the end: the result is the caller's to destroy
    state->fiber = SchedulerCore::current().running_fiber();
    if (state->is_cancelled) state->fiber->core->cancel(*state->fiber);
    try {
      call->perform();
    } catch (const FiberCancelled&) {
      state->was_cancelled = true;
      throw;
    } catch (...) {
      state->failure = std::current_exception();
    }
  }

  static void end(State& state) {
    state.fiber = nullptr;
    state.move(Phase::begun, Phase::ended);
    state.done.go();
  }

  std::shared_ptr<AwaitedCall> call;
  std::shared_ptr<State> state;
  RunIn run_in;
};

namespace {

// The caller goes: takes the function back, or cancels it and waits until it has ended. True when it ended by itself after all.
bool abandon(const std::shared_ptr<AwaitedCall::State>& state, Mailbox& mailbox, SchedulerCore& core) {
  using Phase = AwaitedCall::State::Phase;
  if (state->move(Phase::waiting, Phase::withdrawn)) return false;
  const mothreads::internal::NoUnwind whole;
  // An errand: a callback that waits must not keep it waiting. When the scheduler has ended, so has the function.
  core.post_of_user(mailbox,
                    make_call<Errand::yes>([state] {
                      state->is_cancelled = true;
                      if (state->fiber != nullptr) state->fiber->core->cancel(*state->fiber);
                    }),
                    "Scheduler::callback_result()");
  state->done.wait();
  return !state->was_cancelled;
}

}  // namespace

void await_call(const std::shared_ptr<AwaitedCall>& call, RunIn run_in, PostCall post, Mailbox& mailbox, SchedulerCore& core,
                const Until& until) {
  using Phase = AwaitedCall::State::Phase;
  if (const Conductor* conductor = mailbox.conductor()) conductor->check_caller("Scheduler::callback_result()");
  // Refused where nothing may block, before anything has been posted.
  if (Context::current().must_not_block) const Wait refused({"waits for the result of a callback", nullptr, nullptr});
  const std::shared_ptr<AwaitedCall::State>& shared = call->state_;
  AwaitedCall::State& state = *shared;
  const Until limit = until.from_now();
  const Ended posted = post(make_call(AwaitedCallBox(call, run_in)), limit);
  if (posted.why() == Why::closed) throw Closed("callback_result() on a scheduler that has ended");
  if (!posted) throw Timedout("Timed out waiting for room for a callback: the function was not called");
  bool in_time = true;
  try {
    in_time = static_cast<bool>(state.done.wait(limit));
  } catch (...) {
    // This context is cancelled itself.
    abandon(shared, mailbox, core);
    if (state.failure) mothreads::internal::report_unclaimed_failure("function", "callback_result", state.failure);
    throw;
  }
  if (!in_time && !abandon(shared, mailbox, core)) {
    throw Timedout("Timed out waiting for callback result: the function was withdrawn or cancelled");
  }
  if (state.now() == Phase::closed) throw Closed("the function of a callback_result() was dropped before its turn: its scheduler ended, or its queue was full");
  if (state.failure) std::rethrow_exception(state.failure);
  if (state.was_cancelled) throw WasCancelled("the function of a callback_result() was cancelled");
}

}  // namespace internal

Scheduler::Scheduler(internal::SchedulerCore& core) : core_(&core), mailbox_(core.mailbox()) {}

Scheduler Scheduler::current() { return Scheduler(internal::SchedulerCore::current()); }

bool Scheduler::post(internal::Call& call) const { return core_->post_of_user(*mailbox_, call, "Scheduler::callback()"); }

void Scheduler::refuse_empty_function() {
  throw mothreads::Misuse("Scheduler::callback was given an empty function: give it one that can be called");
}

bool Scheduler::is_current() const {
  const internal::SchedulerCore* here = internal::SchedulerCore::current_or_null();
  return here == core_ && here->mailbox() == mailbox_;
}

bool Scheduler::has_ended() const { return mailbox_->is_closed(); }

SchedulerStatistics Scheduler::statistics() const {
  if (!is_current()) throw mothreads::Misuse("a scheduler's statistics can be had on its own thread only: ask by callback_result()");
  const internal::SchedulerCounts counts = core_->counts();
  return {.switches = counts.switches, .rounds = counts.rounds, .sleeps = counts.sleeps, .wakes = counts.wakes};
}

}  // namespace cooperative
