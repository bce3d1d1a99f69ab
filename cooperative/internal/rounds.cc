#include "cooperative/internal/scheduler_core.h"

#include <algorithm>
#include <new>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "cooperative/internal/alarm.h"
#include "cooperative/internal/poller.h"
#include "cooperative/internal/sanitizers.h"
#include "mothreads/contexts/futex.h"
#include "mothreads/contexts/thread_context.h"
#include "mothreads/until.h"

namespace cooperative::internal {

using mothreads::Ended;
using mothreads::Instant;
using mothreads::Until;
using mothreads::Why;
using mothreads::internal::Context;
using mothreads::internal::TimerNode;
using mothreads::internal::TimerOps;
using mothreads::internal::TimerWheel;
using mothreads::internal::Wait;
using mothreads::internal::WaitList;
using mothreads::internal::WaitNode;

namespace {

// Timers are looked at when so many rounds or so many ticks of the processor's counter have passed: it runs at 1 GHz or more, so
// that is 50 µs at most.
constexpr std::uint32_t kRoundsPerLook = 64;
constexpr std::uint64_t kTicksPerLook = 50'000;
// The counter itself is read every round, but for rounds so short that it would be half of their time.
constexpr std::uint32_t kShortRoundsPerCheck = 8;
constexpr std::uint64_t kTicksOfShortRounds = 2'000;

}  // namespace

// --- rounds ------------------------------------------------------------------------------------------------------------------

void SchedulerCore::suspend(Context&) noexcept { suspend_running(); }

void SchedulerCore::yield_in_round() {
  if (conductor_ != nullptr) return yield();
  if (acts_left <= 0) unwind_if_due();
  batch_.push_back(*running_);
  suspend_running();
  if (acts_left <= 0) unwind_if_due();
}

Why SchedulerCore::wait_with_care(WaitList& list, WaitNode& node, const char* verb, const Until& until) {
  Wait wait({verb, nullptr, nullptr}, Wait::Spin::no, Context::Reach::host);
  node.arm(wait, Why::ready);
  list.push_back(node);
  absl::Cleanup leave = [&] { list.remove(node); };
  return wait.park(until);
}

Why SchedulerCore::wait_with_care(WaitList& list, WaitNode& node, const char* verb) { return wait_with_care(list, node, verb, Until()); }

const TimerOps SchedulerCore::TimeLimit::kOps{
    .take = [](TimerNode& timer) { return static_cast<TimeLimit&>(timer).node.claim_on_host(); },
    .fire = [](TimerNode& timer) { static_cast<TimeLimit&>(timer).node.finish_on_host(Why::timed_out); },
};

bool SchedulerCore::set_limit(RoomForLimit& room, WaitNode& node, const Until& until) noexcept {
  const std::optional<absl::Duration> duration = until.only_duration();
  if (!duration || *duration <= absl::ZeroDuration() || running_->context->clock != clock_) return false;
  std::int64_t when = 0;
  const std::int64_t nanoseconds = absl::ToInt64Nanoseconds(*duration);
  if (__builtin_add_overflow(now_for(nanoseconds).time_since_epoch().count(), nanoseconds, &when)) return false;
  wheel_->add(*new (&room.limit) TimeLimit(node), when);
  if (nanoseconds < kSoon) [[unlikely]] expect_soon(when);
  return true;
}

// By its limit, or to be unwound. A limit took nothing, so nothing is lost.
bool SchedulerCore::leave_interrupted(WaitList& list, WaitNode& node) noexcept {
  list.remove(node);
  Context& context = node.context();
  if ((context.outcome() != Why::stopped && context.outcome() != Why::timed_out) || !context.must_unwind()) return false;
  prepare_unwinding(context);
  return true;
}

void SchedulerCore::unwind_if_due() {
  if (running_->context->must_unwind()) unwind(*running_->context);
}

// --- turns -------------------------------------------------------------------------------------------------------------------

namespace {

std::int32_t acts_for(std::uint32_t operations) {
  constexpr auto kMost = static_cast<std::uint32_t>(INT32_MAX / kActsPerOperation);
  return static_cast<std::int32_t>(std::min(operations, kMost)) * kActsPerOperation;
}

}  // namespace

void SchedulerCore::set_selfishness(std::uint32_t operations) noexcept {
  selfishness_ = operations;
  acts_per_turn_ = acts_for(operations);
  set_acts(*root_);
  for (FiberBlock* fiber = newest_; fiber != nullptr;) {
    set_acts(fiber->runnable);
    if (fiber->newest_child != nullptr) {
      fiber = fiber->newest_child;
      continue;
    }
    // Up to where there is an older one; a circle of children begins again with its newest.
    const auto is_last = [this](const FiberBlock& one) { return one.older == (one.parent == nullptr ? newest_ : one.parent->newest_child); };
    while (fiber != nullptr && is_last(*fiber)) fiber = fiber->parent;
    if (fiber != nullptr) fiber = fiber->older;
  }
}

void SchedulerCore::set_acts(Runnable& of) const noexcept { of.acts = of.max_acts != 0 || of.context->unwind_wanted ? 0 : acts_per_turn_; }

std::uint32_t SchedulerCore::set_max_selfish_acts(std::uint32_t operations) noexcept {
  Runnable& me = *running_;
  const std::uint32_t before = std::exchange(me.max_acts, operations);
  set_acts(me);
  begin_turn(me);
  return before;
}

void SchedulerCore::end_turn(std::int32_t acts, Unwinds unwinds) {
  Runnable& me = *running_;
  Context& context = *me.context;
  if (context.unwind_wanted && unwinds == Unwinds::yes) unwind_if_due();
  if (me.acts == 0) {  // its acts are counted downwards from 0
    const std::int32_t figure = me.max_acts == 0 ? acts_per_turn_ : acts_for(me.max_acts);
    if (acts_left >= -figure) return;
  }
  give_turn(unwinds);
  acts_left -= acts;
}

void SchedulerCore::give_turn(Unwinds unwinds) {
  const FiberBlock* const fiber = running_fiber();
  if (running_->context->callbacks_running > 0 || (fiber != nullptr && fiber->state == FiberBlock::State::ended)) {
    begin_turn(*running_);  // others would see what go(), or its end, has half done
  } else if (unwinds == Unwinds::yes) {
    yield();
  } else {
    const mothreads::internal::NoUnwind whole;
    yield();
  }
}

Ended SchedulerCore::yield_until_idle(const Until& until) {
  Wait wait({"waits until nothing else is ready", nullptr, nullptr}, Wait::Spin::no, Context::Reach::host);
  WaitNode node(wait, Why::ready);
  until_idle_.push_back(node);
  absl::Cleanup leave = [&] { until_idle_.remove(node); };
  return wait.park(until);
}

// All that is to run in the next round becomes ready.
[[gnu::always_inline]] inline void SchedulerCore::gather() noexcept {
  ++rounds_;
  // relaxed: only whether there is something; take_posted() acquires it.
  if (inbox_.load(std::memory_order_relaxed) != nullptr) take_posted();
  if (mailbox_->has_calls()) take_calls();
  if ((!wheel_->is_empty() || io_waits_ != 0) && look_is_due()) look();
  just_polled_ = false;
  ready_.append(yielded_);
  if (ready_.is_empty() && !until_idle_.is_empty()) {
    while (WaitNode* idler = until_idle_.claim_front_on_host()) end_wait(*idler, Why::ready);
  }
}

void SchedulerCore::gather_for_conductor() noexcept { gather(); }

Runnable& SchedulerCore::next_round() noexcept {
  if (conductor_ != nullptr) [[unlikely]] return conductor_->next();
  while (true) {
    gather();
    if (Runnable* first = ready_.pop_front()) {
      batch_.append(ready_);
      return *first;
    }
    sleep();
  }
}

bool SchedulerCore::look_is_due() noexcept {
  const std::uint32_t rounds = rounds_per_check_ - rounds_to_check_ + 1;
  rounds_to_check_ = rounds_per_check_ = 1;
  rounds_since_look_ += rounds;
  if ((ready_.is_empty() && yielded_.is_empty()) || !clock_->is_real() || rounds_since_look_ >= kRoundsPerLook) return true;
  if (next_due_ != TimerWheel::kNever) [[unlikely]] return not_before_now().time_since_epoch().count() >= next_due_;
  const std::uint64_t ticks = __builtin_ia32_rdtsc();
  if (ticks - last_check_ticks_ < kTicksOfShortRounds) {
    rounds_to_check_ = rounds_per_check_ = std::min(kShortRoundsPerCheck, kRoundsPerLook - rounds_since_look_);
  }
  last_check_ticks_ = ticks;
  return ticks - last_look_ticks_ >= kTicksPerLook;
}

void SchedulerCore::look() noexcept {
  next_due_ = TimerWheel::kNever;
  rounds_since_look_ = 0;
  last_look_ticks_ = __builtin_ia32_rdtsc();
  const std::int64_t now = wheel_->is_empty() ? 0 : clock_->now().time_since_epoch().count();
  if (io_waits_ != 0 && !just_polled_) {
    // What is ready comes before the limits that are due. With nothing to do but to sleep the poller is asked there, once.
    const bool will_sleep = ready_.is_empty() && yielded_.is_empty() && until_idle_.is_empty() && (wheel_->is_empty() || wheel_->first_time() > now);
    if (!will_sleep) poller_->poll(absl::ZeroDuration());
  }
  if (wheel_->is_empty()) return;
  mothreads::internal::ExpiredTimers expired;
  wheel_->expire(now, expired);
  while (TimerNode* timer = expired.pop_front()) {
    if (timer->ops->take(*timer)) timer->ops->fire(*timer);
  }
  if (wheel_->earliest() - now < kSoon) {
    if (const std::int64_t next = wheel_->next_wake(); next - now < kSoon) expect_soon(next);
  }
}

const std::atomic<std::uint32_t>* SchedulerCore::inbox_futex() const noexcept {
  static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && sizeof inbox_ == 8);
  return reinterpret_cast<const std::atomic<std::uint32_t>*>(&inbox_);
}

void SchedulerCore::Alarm::fire(TimerNode& node) {
  auto& alarm = static_cast<Alarm&>(node);
  SchedulerCore& core = alarm.core;
  Posted* mark = core.inbox_.load(std::memory_order_relaxed);
  const bool waits = is_mark(mark) && core.inbox_.compare_exchange_strong(mark, nullptr, std::memory_order_relaxed);
  alarm.rang.store(true, std::memory_order_release);  // the alarm may be gone now; the core stays
  if (waits) core.wake(mark);
}

void SchedulerCore::sleep() noexcept {
  give_back_ended();
  if (stacks_->tidy()) return;  // it took a while: look again
  std::optional<Instant> deadline;
  if (const std::int64_t when = wheel_->next_wake(); when != TimerWheel::kNever) deadline = Instant(std::chrono::nanoseconds(when));
  if (io_waits_ != 0) return sleep_in_poller(deadline);
  if (clock_->is_real()) {
    if (spinner_->spin([this] { return inbox_.load(std::memory_order_relaxed) != nullptr || mailbox_->has_calls(); }, 1)) return;
  }
  Posted* nothing = nullptr;
  // seq_cst: who posts to the mailbox looks here afterwards, and this looks there.
  if (!inbox_.compare_exchange_strong(nothing, asleep(), std::memory_order_seq_cst)) return;
  ++sleeps_;  // from here on somebody may wake it
  if (mailbox_->has_calls()) {
    Posted* still = asleep();
    inbox_.compare_exchange_strong(still, nullptr, std::memory_order_relaxed);
    return;
  }
  constexpr auto kAsleep = static_cast<std::uint32_t>(std::uintptr_t{1});
  if (clock_->is_real() || !deadline) {
    mothreads::internal::futex_wait(inbox_futex(), kAsleep, deadline);
  } else {
    // The wheel's first time exactly: a look too early would find nothing, and this time does not pass by itself.
    Alarm alarm(*this);
    clock_->timers().add(alarm, wheel_->first_time());
    mothreads::internal::futex_wait(inbox_futex(), kAsleep, std::nullopt);
    if (!clock_->timers().cancel(alarm)) alarm.await();
  }
  Posted* still = asleep();
  inbox_.compare_exchange_strong(still, nullptr, std::memory_order_relaxed);
}

// The same for descriptors, too.
void SchedulerCore::sleep_in_poller(const std::optional<Instant>& deadline) noexcept {
  Posted* nothing = nullptr;
  // seq_cst: as in sleep().
  if (!inbox_.compare_exchange_strong(nothing, polled(), std::memory_order_seq_cst)) return;
  ++sleeps_;
  if (!mailbox_->has_calls()) {
    if (!deadline) {
      poller_->poll(std::nullopt);
    } else if (clock_->is_real()) {
      poller_->poll(absl::FromChrono(*deadline - clock_->now()));
    } else {
      Alarm alarm(*this);
      clock_->timers().add(alarm, wheel_->first_time());
      poller_->poll(std::nullopt);
      if (!clock_->timers().cancel(alarm)) alarm.await();
    }
    just_polled_ = true;
  }
  // Takes the mark away, too. What others posted comes before what the kernel said, as in every round.
  Fifo<Runnable> arrived;
  arrived.append(ready_);
  take_posted();
  if (mailbox_->has_calls()) take_calls();
  ready_.append(arrived);
}

// --- switching ---------------------------------------------------------------------------------------------------------------

void SchedulerCore::swap_exceptions(Runnable& from, Runnable& to) noexcept {
  from.caught_exceptions = eh_globals_->caught_exceptions;
  from.uncaught_exceptions = eh_globals_->uncaught_exceptions;
  load_exceptions(to);
}

}  // namespace cooperative::internal
