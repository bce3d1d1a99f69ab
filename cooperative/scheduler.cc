#include "cooperative/scheduler.h"

#include <mutex>

#include "cooperative/fiber.h"
#include "cooperative/internal/scheduler_core.h"
#include "mothreads/contexts/context.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"

namespace cooperative {

using mothreads::Until;
using mothreads::Why;

namespace internal {
namespace {

struct Callback final : Call {
  explicit Callback(absl::AnyInvocable<void()> its_function) : function(std::move(its_function)) {}

  void run() override {
    const std::unique_ptr<Callback> self(this);
    try {
      function();
    } catch (const FiberCancelled&) {
      throw;
    } catch (...) {
      mothreads::log::error("Asynchronous callback raised uncaught exception: {}", mothreads::log::describe(std::current_exception()));
    }
  }
  void withdraw() noexcept override { delete this; }

  absl::AnyInvocable<void()> function;
};

}  // namespace

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

struct AwaitedCallBox final : Call {
  using State = AwaitedCall::State;
  using Phase = State::Phase;

  explicit AwaitedCallBox(const std::shared_ptr<AwaitedCall>& its_call) : call(its_call), state(its_call->state_) {}

  void run() override {
    const std::unique_ptr<AwaitedCallBox> self(this);
    if (!state->move(Phase::waiting, Phase::begun)) return;
    try {
      cooperative::spawn("callback_result", perform, std::move(call), state).release();
    } catch (...) {
      state->failure = std::current_exception();
      end(*state);
    }
  }

  void withdraw() noexcept override {
    const std::unique_ptr<AwaitedCallBox> self(this);
    if (state->move(Phase::waiting, Phase::closed)) state->done.go();
  }

  static void perform(const std::shared_ptr<AwaitedCall>& call, const std::shared_ptr<State>& state) {
    struct AtEnd {
      State& state;
      ~AtEnd() { end(state); }
    } at_end{*state};
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
};

namespace {

// The caller goes: takes the function back, or cancels it and waits until it has ended. True when it ended by itself after all.
template <typename Post>
bool abandon(AwaitedCall::State& state, const std::shared_ptr<AwaitedCall::State>& shared, Post&& post) {
  using Phase = AwaitedCall::State::Phase;
  if (state.move(Phase::waiting, Phase::withdrawn)) return false;
  const mothreads::internal::NoUnwind whole;
  post(std::make_unique<Callback>([shared] {
    shared->is_cancelled = true;
    if (shared->fiber != nullptr) shared->fiber->core->cancel(*shared->fiber);
  }));
  state.done.wait();
  return !state.was_cancelled;
}

}  // namespace

void await_call(const std::shared_ptr<AwaitedCall>& call, Mailbox& mailbox, SchedulerCore& core, const Until& until) {
  using Phase = AwaitedCall::State::Phase;
  AwaitedCall::State& state = *call->state_;
  if (const Conductor* conductor = mailbox.conductor()) conductor->check_caller("Scheduler::callback_result()");
  const auto post = [&](std::unique_ptr<Call> box) {
    if (!mailbox.post(*box)) return false;
    static_cast<void>(box.release());
    core.wake_if_asleep();
    if (Conductor* now = mailbox.conductor()) now->posted();
    return true;
  };
  if (!post(std::make_unique<AwaitedCallBox>(call))) throw Closed("callback_result() on a scheduler that has ended");
  bool in_time = true;
  try {
    in_time = static_cast<bool>(state.done.wait(until));
  } catch (...) {
    // This context is cancelled itself.
    abandon(state, call->state_, post);
    throw;
  }
  if (!in_time && !abandon(state, call->state_, post)) {
    throw Timedout("Timed out waiting for callback result: the function was withdrawn or cancelled");
  }
  if (state.now() == Phase::closed) throw Closed("the scheduler ended before the turn of a callback_result()");
  if (state.failure) std::rethrow_exception(state.failure);
  if (state.was_cancelled) throw WasCancelled("the function of a callback_result() was cancelled");
}

}  // namespace internal

Scheduler::Scheduler(internal::SchedulerCore& core) : core_(&core), mailbox_(core.mailbox()) {}

Scheduler Scheduler::current() { return Scheduler(internal::SchedulerCore::current()); }

bool Scheduler::callback(absl::AnyInvocable<void()> function) const {
  if (!function) throw mothreads::Misuse("Scheduler::callback was given an empty function: give it one that can be called");
  if (internal::Conductor* conductor = mailbox_->conductor()) conductor->check_caller("Scheduler::callback()");
  auto call = std::make_unique<internal::Callback>(std::move(function));
  if (!mailbox_->post(*call)) return false;
  static_cast<void>(call.release());
  core_->wake_if_asleep();
  if (internal::Conductor* conductor = mailbox_->conductor()) conductor->posted();
  return true;
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
