#include "cooperative/timer.h"

#include <chrono>
#include <exception>
#include <limits>
#include <new>
#include <string>
#include <utility>

#include "cooperative/errors.h"
#include "mothreads/clock.h"
#include "mothreads/contexts/context.h"
#include "mothreads/instant.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"

namespace cooperative {

using internal::FiberBlock;
using internal::SchedulerCore;
using mothreads::Instant;
using mothreads::Misuse;
using mothreads::internal::TimerNode;
using mothreads::internal::TimerOps;
using mothreads::internal::TimerWheel;

namespace {

constexpr std::int64_t kNever = TimerWheel::kNever;
constexpr std::int64_t kForEver = std::numeric_limits<std::int64_t>::max();  // nanoseconds, of an infinite duration

std::int64_t nanoseconds_of(absl::Duration duration) {
  return duration == absl::InfiniteDuration() ? kForEver : absl::ToInt64Nanoseconds(duration);  // slow for an infinite one
}

std::int64_t after(Instant start, std::int64_t nanoseconds) {
  std::int64_t when = 0;
  return __builtin_add_overflow(start.time_since_epoch().count(), nanoseconds, &when) ? kNever : when;
}

void check_period(absl::Duration timeout) {
  if (timeout <= absl::ZeroDuration()) {
    throw Misuse("a Timer that repeats needs a time of more than zero, else it would never rest");
  }
}

[[noreturn]] void refuse_empty_function() {
  throw Misuse("a Timer was given an empty function: give it one that can be called");
}

internal::ParentRef running_fiber(const SchedulerCore& core) {
  FiberBlock* fiber = core.running_fiber();
  return fiber == nullptr ? internal::ParentRef() : internal::ParentRef{fiber, fiber->id};
}

// Its maker, as long as it lives.
FiberBlock* living(const internal::ParentRef& maker) {
  const bool lives = maker.block != nullptr && maker.block->id == maker.id && maker.block->state != FiberBlock::State::ended;
  return lives ? maker.block : nullptr;
}

}  // namespace

struct Timer::Call {
  Call(Timer& its_timer, FiberBlock& its_fiber) : timer(&its_timer), fiber(&its_fiber) {}

  // Nothing any more when the timer has other plans meanwhile.
  void run() {
    if (awaits_time) {
      mothreads::internal::WaitList nobody;
      mothreads::internal::WaitNode node;
      const Instant when{std::chrono::nanoseconds(timer->when)};
      timer->core().wait(nobody, node, "waits for the time of a timer", when);
    }
    if (timer == nullptr) return;
    has_begun = true;
    timer->was_reset_ = false;
    function = std::move(timer->function_);
    try {
      function();
    } catch (const FiberCancelled&) {
      throw;
    } catch (...) {
      mothreads::log::error("Timer callback raised uncaught exception: {}", mothreads::log::describe(std::current_exception()));
    }
  }

  static void end(void* self) noexcept {
    Call& call = *static_cast<Call*>(self);
    if (call.timer != nullptr) call.timer->call_ended(call);
    call.~Call();
  }
  static const FiberBlock::Job kJob;

  Timer* timer;  // null when it has gone, or does not want the call any more
  FiberBlock* const fiber;
  bool awaits_time = false;  // of another clock than the scheduler's
  bool has_begun = false;
  absl::AnyInvocable<void()> function;
};

constexpr FiberBlock::Job Timer::Call::kJob{
    .call = [](void* self) { static_cast<Call*>(self)->run(); },
    .drop_function = [](void*) noexcept {},
    .destroy = end,
    .free = nullptr,
};

constexpr TimerOps Timer::kOps{
    .take = [](TimerNode&) { return true; },
    .fire = [](TimerNode& node) { static_cast<Timer&>(node).start_call(); },
};

Timer::Timer(absl::Duration timeout, absl::AnyInvocable<void()> function, const TimerOptions& options)
    : TimerNode(kOps),
      repeat_(options.repeat),
      reuse_(options.reuse),
      function_(std::move(function)),
      maker_(running_fiber(core())) {
  if (!function_) [[unlikely]] refuse_empty_function();
  if (options.repeat != Repeat::no) check_period(timeout);
  const auto& maker = mothreads::internal::Context::current();
  if (options.stack_size != 0) extras().stack_size = options.stack_size;
  if (maker.clock != &core().clock() || maker.log_extras) extras();
  set(nanoseconds_of(timeout));
  arm();
}

void Timer::refuse_to_go() noexcept {
  mothreads::internal::fatal_misuse("a Timer was destroyed on another thread than its own: let its own thread destroy it");
}

void Timer::await_call() noexcept {
  call_->timer = nullptr;
  FiberBlock& fiber = *call_->fiber;
  if (core().runs_below(fiber)) return;  // it destroys itself: the function lives until it ends
  const mothreads::internal::NoUnwind whole;
  static_cast<void>(core().join(fiber, {}));
}

void Timer::reset(absl::Duration timeout) {
  home_.check("a Timer");
  reset(timeout, repeat_);
}

void Timer::reset(absl::Duration timeout, Repeat repeat) {
  home_.check("a Timer");
  if (repeat != Repeat::no) check_period(timeout);
  if (is_cancelled_) throw Misuse("Cannot reuse this timer: it was cancelled");
  if (has_ended_) throw Misuse("Cannot reuse this timer: it has gone, and was not made with .reuse = true");
  if (repeat != Repeat::no) extras();
  disarm();
  repeat_ = repeat;
  was_reset_ = true;
  set(nanoseconds_of(timeout));
  if (call_ == nullptr) arm();
}

Timer::Extras& Timer::extras() {
  if (extras_ == nullptr) {
    const auto& maker = mothreads::internal::Context::current();
    extras_ = std::make_unique<Extras>(Extras{.clock = maker.clock, .log_extras = maker.log_extras});
  }
  return *extras_;
}

// `when` is of no use to the wheel meanwhile: it is not linked.
void Timer::set(std::int64_t nanoseconds) {
  if (extras_ != nullptr || repeat_ != Repeat::no) [[unlikely]] {
    set_with_extras(nanoseconds);
  } else if (nanoseconds == kForEver) {
    when = kNever;
  } else {
    when = after(core().not_before_now(), nanoseconds);
  }
}

void Timer::set_with_extras(std::int64_t nanoseconds) {
  extras().period = nanoseconds;
  when = nanoseconds == kForEver ? kNever : after(is_on_schedulers_clock() ? core().not_before_now() : extras_->clock->now(), nanoseconds);
}

bool Timer::is_on_schedulers_clock() const { return extras_ == nullptr || extras_->clock == &core().clock(); }

void Timer::arm() noexcept {
  if (when == kNever) return;
  if (is_on_schedulers_clock()) {
    core().add_timer(*this, when);
  } else {
    start_call();
    call_->awaits_time = true;
  }
}

void Timer::drop_call() noexcept {
  if (call_->has_begun) return;
  Call& call = *std::exchange(call_, nullptr);
  call.timer = nullptr;
  core().cancel(*call.fiber);
}

void Timer::start_call() noexcept {
  FiberBlock& fiber = core().make_helper("timer", living(maker_));
  if (extras_ != nullptr) {
    fiber.clock = extras_->clock;
    fiber.log_extras = extras_->log_extras;
    fiber.stack_size = extras_->stack_size;
  }
  static_assert(sizeof(Call) <= FiberBlock::kRoom);
  call_ = new (fiber.room) Call(*this, fiber);
  core().start_helper(fiber, Call::kJob, call_);
  core().tell_if_late(fiber);
}

void Timer::call_ended(Call& call) noexcept {
  if (call.has_begun) function_ = std::move(call.function);
  call_ = nullptr;
  if (call.fiber->outcome == FiberBlock::Outcome::cancelled) is_cancelled_ = true;
  if (is_cancelled_) return;
  if (!was_reset_) set_next();
  arm();
}

void Timer::set_next() noexcept {
  if (repeat_ == Repeat::no) {
    when = kNever;
    has_ended_ = !reuse_;
  } else if (repeat_ == Repeat::after_each_call) {
    set(extras_->period);
  } else if (const std::int64_t step = extras_->period; step == kForEver) {
    when = kNever;
  } else {
    const std::int64_t now = extras_->clock->now().time_since_epoch().count();
    when += step;
    if (when <= now) when += ((now - when) / step + 1) * step;
  }
}

}  // namespace cooperative
