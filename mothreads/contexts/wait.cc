#include "mothreads/contexts/wait.h"

#include <algorithm>
#include <string>

#include "absl/cleanup/cleanup.h"
#include "mothreads/clock.h"
#include "mothreads/contexts/host.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"
#include "mothreads/until.h"

namespace mothreads::internal {
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

}  // namespace

void Wait::check_may_block() const {
  char name[SignalState::kMaxName + 2] = "";
  if (what_.write_name != nullptr) what_.write_name(what_.object, name, sizeof name);
  if (context_.must_not_block) {
    throw Misuse(fmt::format("Deadlock detected: a function given to Signal::then() {} \"{}\" on a thread of the library, which "
                             "nothing may block; let the function start a thread, or add to a queue, instead",
                             what_.verb, name));
  }
  log::warning("a function given to Signal::then() {} \"{}\" and so delays whoever called go(); let it start a thread, or add to "
               "a queue, instead", what_.verb, name);
}

Why Wait::park_on_host_for_ever() {
  if (context_.is_finished()) return context_.outcome();
  if (context_.must_unwind() && claim_self()) context_.host->unwind(context_);
  context_.await_finish_on_host(what_);
  const Why why = context_.outcome();
  if (why == Why::stopped && context_.must_unwind()) context_.host->unwind(context_);  // no limit, so it was interrupted
  return why;
}

std::optional<Why> Wait::park(const Until& until, const std::optional<Instant>& pause) {
  if (context_.is_finished()) return context_.outcome();
  if (context_.host != nullptr && !pause && until.is_never()) return park_on_host_for_ever();
  if (context_.must_unwind() && claim_self()) context_.host->unwind(context_);
  const Clock& clock = *context_.clock;
  if (!has_deadline_) {
    deadline_ = until.deadline(clock);
    has_deadline_ = true;
  }
  const bool pauses = pause && (!deadline_ || *pause < *deadline_);

  struct Detach {
    const Until& until;
    ~Detach() { until.detach(); }
  } detach{until};
  std::optional<Why> limit = until.attach(*this);
  const bool look = context_.host == nullptr || until.may_have_expired();
  if (!limit && deadline_ && look && clock.now() >= *deadline_) limit = Why::timed_out;
  if (!limit && pauses && clock.now() >= *pause) return std::nullopt;
  const std::optional<Instant>& wake = pauses ? pause : deadline_;
  if (context_.host != nullptr) return park_on_host(until, wake, pauses, limit);
  if (limit) {
    if (claim_self()) return *limit;
    context_.await_claimed();
    return outcome_of(until);
  }
  return park_on_thread(until, wake, pauses);
}

std::optional<Why> Wait::park_on_thread(const Until& until, const std::optional<Instant>& wake, bool pauses) {
  if (context_.clock->is_real() || !wake) {
    if (context_.await_finish(wake, what_, may_spin_)) return outcome_of(until);
    if (pauses) return std::nullopt;
    if (claim_self()) return Why::timed_out;
    context_.await_claimed();
    return outcome_of(until);
  }
  WaitTimer timer(pauses ? kPause : WaitTimer::kOps, context_, generation_);
  TimerQueue& timers = context_.clock->timers();
  timers.add(timer, wake->time_since_epoch().count());
  absl::Cleanup leave = [&] { timers.cancel(timer); };
  if (!context_.await_finish(std::nullopt, what_, may_spin_)) return std::nullopt;
  return outcome_of(until);
}

std::optional<Why> Wait::park_on_host(const Until& until, const std::optional<Instant>& wake, bool pauses,
                                      const std::optional<Why>& limit) {
  Host& host = *context_.host;
  const auto sleep = [&]() -> std::optional<Why> {
    if (!context_.await_finish(std::nullopt, what_, false)) return std::nullopt;
    // A limit took nothing, so nothing is lost.
    if (context_.must_unwind() && (context_.outcome() == Why::stopped || context_.outcome() == Why::timed_out)) host.unwind(context_);
    return outcome_of(until);
  };
  if (!wake && !limit) return sleep();
  const bool only_pauses = pauses && !limit;
  if (context_.clock == &host.clock() || limit) {
    HostTimer timer(only_pauses ? kPause : HostTimer::kOps, context_, generation_, limit.value_or(Why::timed_out));
    host.add_timer(timer, limit ? INT64_MIN : wake->time_since_epoch().count());
    absl::Cleanup leave = [&] { host.cancel_timer(timer); };
    return sleep();
  }
  // Another clock than the host's: whoever makes its time pass does so on a thread of its own.
  context_.open_wait();
  WaitTimer elsewhere(only_pauses ? kPause : WaitTimer::kOps, context_, generation_);
  TimerQueue& timers = context_.clock->timers();
  timers.add(elsewhere, wake->time_since_epoch().count());
  absl::Cleanup leave = [&] { timers.cancel(elsewhere); };
  return sleep();
}

Why Wait::outcome_of(const Until& until) const {
  const Why why = context_.outcome();
  if (why != Why::stopped) return why;
  // Which of the limit's signals it was: a Till counts as time.
  return until.has_come().value_or(Why::stopped);
}

void WaitList::push_front(WaitNode& node) noexcept {
  push_back(node);
  head_ = &node;
}

Claimed WaitList::take_claimed() noexcept {
  Claimed claimed;
  while (WaitNode* node = head_) {
    remove(*node);
    if (node->claim()) claimed.add(*node);
  }
  return claimed;
}

WaitNode* WaitList::claim_front() noexcept {
  for (WaitNode* node = head_; node != nullptr; node = after(*node)) {
    if (node->claim()) {
      remove(*node);
      node->mark_won();
      return node;
    }
  }
  return nullptr;
}

void Claimed::add(WaitNode& node) noexcept {
  node.next = nullptr;
  node.mark_won();
  if (last_ == nullptr) {
    first_ = &node;
  } else {
    last_->next = &node;
  }
  last_ = &node;
}

void Claimed::finish_all() noexcept {
  while (WaitNode* node = first_) {
    first_ = node->next;
    node->next = nullptr;
    node->finish();
  }
  last_ = nullptr;
}

void Claimed::finish_all(Why why) noexcept {
  while (WaitNode* node = first_) {
    first_ = node->next;
    node->next = nullptr;
    node->finish(why);
  }
  last_ = nullptr;
}

}  // namespace mothreads::internal
