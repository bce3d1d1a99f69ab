#include "mothreads/internal/wait/wait.h"

#include <algorithm>
#include <new>
#include <string>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/container/fixed_array.h"
#include "mothreads/clock.h"
#include "mothreads/internal/aftermath.h"
#include "mothreads/internal/limit_signals.h"
#include "mothreads/internal/wait/host.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"

namespace mothreads::inline v0::internal {
namespace {

// The time limit of a wait on a clock that the kernel does not know.
struct WaitTimer : TimerNode {
  WaitTimer(const TimerOps& operations, Context& of, std::uint64_t its_generation)
      : TimerNode(operations), context(of), generation(its_generation) {}

  static bool take(TimerNode& node) {
    auto& timer = static_cast<WaitTimer&>(node);
    return timer.context.claim(timer.generation);
  }
  static void fire(TimerNode& node) { static_cast<WaitTimer&>(node).context.finish(Why::timed_out); }
  static constexpr TimerOps kOps{take, fire};

  Context& context;
  const std::uint64_t generation;
};

// The same, kept by the waiter's host. `why` is not always the time: a limit that had come already waits for its turn, too.
struct HostTimer : WaitTimer {
  HostTimer(const TimerOps& operations, Context& of, std::uint64_t its_generation, Why its_why)
      : WaitTimer(operations, of, its_generation), why(its_why) {}

  static bool take(TimerNode& node) {
    auto& timer = static_cast<HostTimer&>(node);
    return timer.context.claim_on_host(timer.generation);
  }
  static void fire(TimerNode& node) {
    auto& timer = static_cast<HostTimer&>(node);
    timer.context.finish_on_host(timer.why);
  }
  static constexpr TimerOps kOps{take, fire};

  const Why why;
};

// Of a pause, on whatever clock. It is over when it is taken, under the mutex of the timers: so the waiter, which cancels it, cannot leave
// meanwhile.
constexpr TimerOps kPause{
    .take =
        [](TimerNode& node) {
          static_cast<WaitTimer&>(node).context.nudge();
          return false;
        },
    .fire = [](TimerNode&) {},
};

// The wait's places on the Signals of its limit. They are of the wait, not of the Until: that may serve several waits at a time.
class LimitLinks {
 public:
  explicit LimitLinks(const LimitSignals& signals) : signals_(signals), nodes_(signals.size()) {}
  LimitLinks(const LimitLinks&) = delete;
  LimitLinks& operator=(const LimitLinks&) = delete;
  ~LimitLinks() { unlink(); }

  // Links the wait to each Signal; the first that has gone already is the answer.
  std::optional<Why> link(const Wait& wait) {
    for (; linked_ < nodes_.size(); ++linked_) {
      SignalState& state = signals_[linked_].state();
      if (state.is_gone()) return state.as_limit();
      wait.context().open_wait();
      nodes_[linked_].arm(wait, Why::stopped);
      if (!state.link(nodes_[linked_])) return state.as_limit();
    }
    return std::nullopt;
  }

  // Of a wait that has ended: how the Signal counts that ended it, if one of these did. Takes the wait off all of them first, since a
  // node says only then whether it was taken.
  std::optional<Why> winner() {
    const std::size_t linked = unlink();
    for (std::size_t i = 0; i < linked; ++i) {
      if (nodes_[i].has_won()) return signals_[i].state().as_limit();
    }
    return std::nullopt;
  }

 private:
  std::size_t unlink() noexcept {
    const std::size_t linked = std::exchange(linked_, 0);
    for (std::size_t i = 0; i < linked; ++i) signals_[i].state().unlink(nodes_[i]);
    return linked;
  }

  const LimitSignals& signals_;
  absl::FixedArray<WaitNode, kLimitSignalsWithoutAllocation> nodes_;
  std::size_t linked_ = 0;
};

}  // namespace

void Wait::check_may_block() const {
  char name[SignalState::kMaxName + 2] = "";
  what_.write_object(name, sizeof name);
  if (context_.care.must_not_block) {
    throw Misuse(fmt::format("Deadlock detected: a function given to Signal::then() {} \"{}\" on a thread of the library, which "
                             "nothing may block; let the function start a thread, or add to a queue, instead",
                             what_.verb, name));
  }
  Aftermath* const aftermath = context_.aftermath;
  if (aftermath != nullptr && !aftermath->may_wait()) {
    throw Misuse(fmt::format("a function given to Signal::then() {} \"{}\" inside a wait of another such function, which let its Signal "
                             "go; let the function start a thread or a fiber, or add to a queue, instead",
                             what_.verb, name));
  }
  if (context_.is_in_function()) {
    log::warning("a function given to Signal::then() {} \"{}\" and so delays whoever called go(); let it start a thread, or add to "
                 "a queue, instead", what_.verb, name);
  }
  // Where the wait may end by a function that was put off. Whoever waits looks at its condition after this.
  if (aftermath != nullptr && reach_ == Context::Reach::everywhere) aftermath->work_before_wait(/*is_armed=*/false);
}

// On a host whoever waits has looked at its condition already, and is in the list where it will be found by what is done now.
void Wait::finish_aftermath() const {
  if (context_.aftermath != nullptr && reach_ == Context::Reach::host) context_.aftermath->work_before_wait(/*is_armed=*/true);
}

Why Wait::park_on_host_for_ever() {
  if (context_.is_finished()) return context_.outcome();
  if (context_.must_unwind() && claim_self()) context_.host->unwind(context_);
  context_.await_finish_on_host(what_);
  const Why why = context_.outcome();
  if (why == Why::stopped && context_.must_unwind()) context_.host->unwind(context_);  // no limit, so it was interrupted
  return why;
}

std::optional<Why> Wait::park(Limit limit, const std::optional<Instant>& pause) {
  if (context_.care.callbacks_running >= Context::kHasAftermath) [[unlikely]] finish_aftermath();
  if (context_.is_finished()) return context_.outcome();
  if (context_.host != nullptr && !pause && limit.is_never()) return park_on_host_for_ever();
  if (context_.must_unwind() && claim_self()) context_.host->unwind(context_);
  if (limit.signals_ == nullptr) return park_until(limit.time(), pause, std::nullopt);

  std::optional<LimitLinks> links;
  try {
    links.emplace(*limit.signals_);
  } catch (const std::bad_alloc&) {  // of more Signals than have room here
    if (claim_self()) throw;
    context_.await_claimed();
    return context_.outcome();
  }
  const std::optional<Why> come = links->link(*this);
  const std::optional<Why> why = park_until(limit.time(), pause, come);
  // A Till counts as time.
  return why == Why::stopped ? links->winner().value_or(Why::stopped) : why;
}

std::optional<Why> Wait::park_until(std::optional<Instant> deadline, const std::optional<Instant>& pause, std::optional<Why> come) {
  const Clock& clock = *context_.clock;
  // A host looks at its timers by itself; a clock of another's may stand still.
  const bool looks = context_.host == nullptr || &clock != &context_.host->clock() || deadline == Instant::min();
  if (!come && deadline && looks && clock.now() >= *deadline) come = Why::timed_out;
  const bool pauses = pause && (!deadline || *pause < *deadline);
  if (!come && pauses && clock.now() >= *pause) return std::nullopt;
  const std::optional<Instant>& wake = pauses ? pause : deadline;
  if (context_.host != nullptr) return park_on_host(wake, pauses, come);
  if (come) {
    if (claim_self()) return *come;
    context_.await_claimed();
    return context_.outcome();
  }
  return park_on_thread(wake, pauses);
}

std::optional<Why> Wait::park_on_thread(const std::optional<Instant>& wake, bool pauses) {
  if (context_.clock->is_real() || !wake) {
    if (context_.await_finish(wake, what_, may_spin_)) return context_.outcome();
    if (pauses) return std::nullopt;
    if (claim_self()) return Why::timed_out;
    context_.await_claimed();
    return context_.outcome();
  }
  WaitTimer timer(pauses ? kPause : WaitTimer::kOps, context_, generation_);
  TimerQueue& timers = context_.clock->timers(kAccess);
  timers.add(timer, wake->time_since_epoch().count());
  absl::Cleanup leave = [&] { timers.cancel(timer); };
  if (!context_.await_finish(std::nullopt, what_, may_spin_)) return std::nullopt;
  return context_.outcome();
}

std::optional<Why> Wait::park_on_host(const std::optional<Instant>& wake, bool pauses, const std::optional<Why>& come) {
  if (!wake && !come) return end_on_host(context_.await_finish_on_host(what_));
  const bool only_pauses = pauses && !come;
  Host& host = *context_.host;
  if (context_.clock == &host.clock() || come) {
    HostTimer timer(only_pauses ? kPause : HostTimer::kOps, context_, generation_, come.value_or(Why::timed_out));
    host.add_timer(timer, come ? INT64_MIN : wake->time_since_epoch().count());
    const bool is_over = context_.await_finish_on_host(what_);
    host.cancel_timer(timer);
    return end_on_host(is_over);
  }
  // Another clock than the host's: whoever makes its time pass does so on a thread of its own.
  context_.open_wait();
  WaitTimer elsewhere(only_pauses ? kPause : WaitTimer::kOps, context_, generation_);
  TimerQueue& timers = context_.clock->timers(kAccess);
  timers.add(elsewhere, wake->time_since_epoch().count());
  const bool is_over = context_.await_finish_on_host(what_);
  timers.cancel(elsewhere);
  return end_on_host(is_over);
}

// With no clean-up of its own on the way: that would cost an exception as much as another function.
std::optional<Why> Wait::end_on_host(bool is_over) {
  if (!is_over) return std::nullopt;
  const Why why = context_.outcome();
  // A limit took nothing, so nothing is lost.
  if ((why == Why::stopped || why == Why::timed_out) && context_.must_unwind()) context_.host->unwind(context_);
  return why;
}

}  // namespace mothreads::internal
