#include "mothreads/contexts/wait.h"

#include <algorithm>
#include <new>
#include <string>

#include "absl/cleanup/cleanup.h"
#include "absl/container/fixed_array.h"
#include "mothreads/clock.h"
#include "mothreads/contexts/host.h"
#include "mothreads/internal/aftermath.h"
#include "mothreads/internal/limit_signals.h"
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
  HostTimer(Context& of, std::uint64_t its_generation, Why its_why) : WaitTimer(kOps, of, its_generation), why(its_why) {}

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

// The wait's places on the Signals of its limit. They are of the wait, not of the Until: that may serve several waits at a time.
class LimitLinks {
 public:
  explicit LimitLinks(const LimitSignals& signals) : signals_(signals), nodes_(signals.size()) {}
  LimitLinks(const LimitLinks&) = delete;
  LimitLinks& operator=(const LimitLinks&) = delete;
  ~LimitLinks() {
    for (std::size_t i = 0; i < linked_; ++i) signals_[i].state().unlink(nodes_[i]);
  }

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

  // Of a wait that has ended: how the Signal counts that ended it, if one of these did.
  std::optional<Why> winner() const {
    for (std::size_t i = 0; i < linked_; ++i) {
      if (nodes_[i].has_won()) return signals_[i].state().as_limit();
    }
    return std::nullopt;
  }

 private:
  const LimitSignals& signals_;
  absl::FixedArray<WaitNode, kLimitSignalsWithoutAllocation> nodes_;
  std::size_t linked_ = 0;
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

Why Wait::park(const Until& until, const std::optional<Instant>& interim) {
  if (context_.callbacks_running >= Context::kHasAftermath) [[unlikely]] finish_aftermath();
  if (context_.is_finished()) return context_.outcome();
  if (context_.host != nullptr && !interim && until.is_never()) return park_on_host_for_ever();
  if (context_.must_unwind() && claim_self()) context_.host->unwind(context_);
  const Clock& clock = *context_.clock;
  if (!has_deadline_) {
    deadline_ = until.deadline(clock);
    has_deadline_ = true;
  }
  std::optional<Instant> deadline = deadline_;
  if (interim && (!deadline || *interim < *deadline)) deadline = interim;
  const bool look = context_.host == nullptr || until.may_have_expired();

  if (until.signals_.empty()) {
    std::optional<Why> limit;
    if (deadline && look && clock.now() >= *deadline) limit = Why::timed_out;
    return park_until(deadline, limit);
  }
  std::optional<LimitLinks> links;
  try {
    links.emplace(until.signals_);
  } catch (const std::bad_alloc&) {  // of more Signals than have room here
    if (claim_self()) throw;
    context_.await_claimed();
    return context_.outcome();
  }
  std::optional<Why> limit = links->link(*this);
  if (!limit && deadline && look && clock.now() >= *deadline) limit = Why::timed_out;
  const Why why = park_until(deadline, limit);
  // A Till counts as time.
  return why == Why::stopped ? links->winner().value_or(why) : why;
}

Why Wait::park_until(const std::optional<Instant>& deadline, const std::optional<Why>& limit) {
  if (context_.host != nullptr) return park_on_host(deadline, limit);
  if (limit) {
    if (claim_self()) return *limit;
    context_.await_claimed();
    return context_.outcome();
  }

  const Clock& clock = *context_.clock;
  if (clock.is_real() || !deadline) {
    if (context_.await_finish(deadline, what_, may_spin_)) return context_.outcome();
    if (claim_self()) return Why::timed_out;
    context_.await_claimed();
    return context_.outcome();
  }
  WaitTimer timer(WaitTimer::kOps, context_, generation_);
  TimerQueue& timers = context_.clock->timers();
  timers.add(timer, deadline->time_since_epoch().count());
  absl::Cleanup leave = [&] { timers.cancel(timer); };
  context_.await_finish(std::nullopt, what_, may_spin_);
  return context_.outcome();
}

Why Wait::park_on_host(const std::optional<Instant>& deadline, const std::optional<Why>& limit) {
  Host& host = *context_.host;
  const auto sleep = [&] {
    context_.await_finish(std::nullopt, what_, false);
    // A limit took nothing, so nothing is lost.
    if (context_.must_unwind() && (context_.outcome() == Why::stopped || context_.outcome() == Why::timed_out)) host.unwind(context_);
    return context_.outcome();
  };
  if (!deadline && !limit) return sleep();
  HostTimer timer(context_, generation_, limit.value_or(Why::timed_out));
  const std::int64_t when = limit ? INT64_MIN : deadline->time_since_epoch().count();
  if (context_.clock == &host.clock() || limit) {
    host.add_timer(timer, when);
    absl::Cleanup leave = [&] { host.cancel_timer(timer); };
    return sleep();
  }
  // Another clock than the host's: whoever makes its time pass does so on a thread of its own.
  context_.open_wait();
  WaitTimer elsewhere(WaitTimer::kOps, context_, generation_);
  TimerQueue& timers = context_.clock->timers();
  timers.add(elsewhere, deadline->time_since_epoch().count());
  absl::Cleanup leave = [&] { timers.cancel(elsewhere); };
  return sleep();
}

bool Wait::has_expired() const noexcept { return deadline_ && context_.clock->now() >= *deadline_; }

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
