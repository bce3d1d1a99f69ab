#include "cooperative/timer.h"

#include <cxxabi.h>

#include <chrono>
#include <exception>
#include <limits>
#include <new>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "cooperative/errors.h"
#include "cooperative/internal/scheduler/fiber_life.h"
#include "cooperative/internal/wait/label.h"
#include "mothreads/clock.h"
#include "mothreads/instant.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0 {

using internal::FiberBlock;
using internal::SchedulerCore;
using mothreads::Instant;
using mothreads::Misuse;
using mothreads::internal::TimerNode;
using mothreads::internal::TimerOps;
using mothreads::internal::TimerWheel;

namespace {

constexpr std::int64_t kNever = TimerWheel::kNever;
constexpr std::int64_t kForEver = std::numeric_limits<std::int64_t>::max();  // nanoseconds, as TimerTime's

std::int64_t after(Instant start, std::int64_t nanoseconds) {
  std::int64_t when = 0;
  return __builtin_add_overflow(start.time_since_epoch().count(), nanoseconds, &when) ? kNever : when;
}

void check_period(std::int64_t nanoseconds, bool is_instant) {
  if (is_instant) throw Misuse("a Timer that repeats needs a duration, not a point in time: give it how long to wait each time");
  if (nanoseconds <= 0) throw Misuse("a Timer that repeats needs a time of more than zero, else it would never rest");
}

[[noreturn]] void refuse_empty_function() {
  throw Misuse("a Timer was given an empty function: give it one that can be called");
}

// Its maker, as long as its function runs.
FiberBlock* running(const internal::ParentRef& maker) {
  const bool runs = maker.block != nullptr && maker.block->id == maker.id && maker.block->state == FiberBlock::State::begun;
  return runs ? maker.block : nullptr;
}

}  // namespace

struct Timer::Run {
  Run(Timer& its_timer, FiberBlock& its_fiber) : timer(&its_timer), fiber(&its_fiber) {}

  // Nothing any more when the timer has other plans meanwhile.
  __attribute__((no_sanitize("null"))) void run() {
    if (awaits_time) return await_time();
    if (timer == nullptr) return;
    has_begun = true;
    function = std::move(timer->function_);
    try {
      function();
    } catch (const FiberCancelled&) {
      throw;
    } catch (abi::__forced_unwind&) {
      throw;  // pthread_exit()
    } catch (...) {
      mothreads::log::error("Timer callback raised uncaught exception: {}", mothreads::log::describe(std::current_exception()));
    }
  }

  void await_time() {
    if (timer == nullptr) return;
    mothreads::internal::WaitList nobody;
    mothreads::internal::WaitNode node;
    timer->core().wait(nobody, node, "waits for the time of a timer",
                       mothreads::Limit().sooner(Instant(std::chrono::nanoseconds(timer->when))));
    Timer* const its = std::exchange(timer, nullptr);
    if (its == nullptr) return;
    its->call_ = nullptr;
    its->start_call();
  }

  static void end(void* self) noexcept {
    Run& call = *static_cast<Run*>(self);
    if (call.timer != nullptr) call.timer->call_ended(call);
    call.~Run();
  }
  static const FiberBlock::Job kJob;

  Timer* timer;  // null when it has gone, or does not want the call any more
  FiberBlock* const fiber;
  bool awaits_time = false;  // of another clock than the scheduler's: then it makes no call, but another to do so
  bool has_begun = false;
  absl::AnyInvocable<void()> function;
};

constexpr FiberBlock::Job Timer::Run::kJob{
    .call = [](void* self) { static_cast<Run*>(self)->run(); },
    .drop_function = [](void*) noexcept {},
    .destroy = end,
    .free = nullptr,
};

constexpr TimerOps Timer::kOps{
    .take = [](TimerNode&) { return true; },
    .fire = [](TimerNode& node) { static_cast<Timer&>(node).start_call(); },
};

TimerTime::TimerTime(absl::Time time) : TimerTime(time - mothreads::Clock::current().wall_now()) {}

Timer::Timer(std::string_view name, TimerTime time, absl::AnyInvocable<void()>&& function, const TimerOptions& options)
    : TimerNode(kOps),
      repeat_(options.repeat),
      reuse_(options.reuse || options.repeat != TimerRepeat::no),
      function_(std::move(function)) {
  if (!function_) [[unlikely]] refuse_empty_function();
  if (options.repeat != TimerRepeat::no) check_period(time.nanoseconds_, time.is_instant_);
  const auto& maker = mothreads::internal::Context::current();
  if (!name.empty()) extras().name = internal::checked_name("a Timer", name);
  if (maker.clock != &core().clock() || maker.log_extras || options.stack_size != 0) [[unlikely]] {
    extras().clock = maker.clock;
    extras().log_extras = maker.log_extras;
    extras().stack_size = options.stack_size;
  }
  FiberBlock* fiber = core().parent_for_new();
  maker_ = fiber == nullptr ? internal::ParentRef{nullptr, core().stopping().stops()} : internal::ParentRef{fiber, fiber->id};
  set(time);
  arm();
}

// After the end of its scheduler's life, as a static one: that has taken it from the wheel, and has ended its call.
void Timer::go_late() noexcept {
  if (home_.has_ended()) return;
  mothreads::internal::fatal_misuse("a Timer was destroyed on another thread than its own: let its own thread destroy it");
}

void Timer::await_call() noexcept {
  call_->timer = nullptr;
  FiberBlock& fiber = *call_->fiber;
  if (core().runs_below(fiber)) return;  // it destroys itself: the function lives until it ends
  const mothreads::internal::NoUnwind whole;
  static_cast<void>(internal::join(fiber));
}

void Timer::reset(TimerTime time) {
  home_.check("a Timer");
  reset(time, repeat_);
}

void Timer::reset(TimerTime time, TimerRepeat repeat) {
  home_.check("a Timer");
  if (repeat != TimerRepeat::no) check_period(time.nanoseconds_, time.is_instant_);
  if (is_cancelled_) throw Misuse("Cannot reuse this timer: it was cancelled");
  if (has_ended_) throw Misuse("Cannot reuse this timer: it has gone, and was made neither to repeat nor with .reuse = true");
  if (repeat != TimerRepeat::no) extras();
  if (maker_.block == nullptr) maker_.id = core().stopping().stops();
  disarm();
  repeat_ = repeat;
  was_reset_ = true;
  counts_from_end_ = call_ != nullptr && !time.is_instant_;
  if (counts_from_end_) {
    when = time.nanoseconds_;
    return;
  }
  set(time);
  if (call_ == nullptr) arm();
}

Timer::Extras& Timer::extras() {
  if (extras_ == nullptr) extras_ = std::make_unique<Extras>(Extras());
  return *extras_;
}

void Timer::set(TimerTime time) {
  if (time.is_instant_) {
    when = time.nanoseconds_;
  } else {
    set(time.nanoseconds_);
  }
}

// `when` is of no use to the wheel meanwhile: it is not linked.
void Timer::set(std::int64_t nanoseconds) {
  if (extras_ != nullptr || repeat_ != TimerRepeat::no) [[unlikely]] {
    set_with_extras(nanoseconds);
  } else if (nanoseconds == kForEver) {
    when = kNever;
  } else {
    when = after(core().rooms().timers.now_for(nanoseconds), nanoseconds);
  }
}

void Timer::set_with_extras(std::int64_t nanoseconds) {
  extras().period = nanoseconds;
  const bool is_cores = &clock() == &core().clock();
  when = nanoseconds == kForEver ? kNever : after(is_cores ? core().rooms().timers.now_for(nanoseconds) : clock().now(), nanoseconds);
}

const mothreads::Clock& Timer::clock() const {
  return extras_ != nullptr && extras_->clock != nullptr ? *extras_->clock : core().clock();
}

void Timer::arm() noexcept {
  if (when == kNever) return;
  if (&clock() == &core().clock()) {
    core().rooms().timers.add_near(*this, when);
  } else {
    start(nullptr, /*awaits_time=*/true);
  }
}

void Timer::drop_call() noexcept {
  if (call_->has_begun) return;
  Run& call = *std::exchange(call_, nullptr);
  call.timer = nullptr;
  internal::Stopping::cancel(*call.fiber);
}

void Timer::start_call() noexcept { start(running(maker_), /*awaits_time=*/false); }

void Timer::start(FiberBlock* parent, bool awaits_time) noexcept {
  if (core().node() == nullptr) return;  // its scheduler has ended
  was_reset_ = false;
  FiberBlock& fiber = internal::make_helper(core(), extras_ == nullptr ? std::string_view("timer") : extras_->name, parent);
  if (extras_ == nullptr) {
    if (fiber.log_extras) fiber.log_extras = nullptr;
  } else {
    if (extras_->clock != nullptr) fiber.clock = extras_->clock;
    fiber.log_extras = extras_->log_extras;
    fiber.stack_size = extras_->stack_size;
  }
  fiber.stack_option = FiberBlock::StackOption::of_timer;
  static_assert(sizeof(Run) <= FiberBlock::kRoom);
  call_ = new (fiber.room) Run(*this, fiber);
  call_->awaits_time = awaits_time;
  internal::start_helper(fiber, Run::kJob, call_);
  if (was_made_before_the_stop()) {
    core().stopping().stop(fiber);
  } else {
    internal::tell_if_late(fiber);
  }
}

// Who made it would have told it, if it were a fiber all the time.
bool Timer::was_made_before_the_stop() const { return maker_.block == nullptr && maker_.id != core().stopping().stops(); }

bool Timer::maker_only_ended() const {
  const FiberBlock* const block = maker_.block;
  if (block == nullptr) return false;
  return block->id != maker_.id || (block->state > FiberBlock::State::begun && !block->told_to_stop && !block->is_cancelled);
}

void Timer::call_ended(Run& call) noexcept {
  if (call.has_begun) function_ = std::move(call.function);
  call_ = nullptr;
  if (call.fiber->outcome == FiberBlock::Outcome::cancelled || call.fiber->outcome == FiberBlock::Outcome::killed) {
    // Its time had just come when its maker ended: then it is made under the root.
    const bool is_made_later = !call.has_begun && !call.awaits_time && maker_only_ended();
    if (!is_made_later) is_cancelled_ = true;
  } else if (!was_reset_) {
    set_next();
  } else if (std::exchange(counts_from_end_, false)) {
    set(when);
  }
  if (!is_cancelled_) arm();
}

void Timer::set_next() noexcept {
  if (repeat_ == TimerRepeat::no) {
    when = kNever;
    has_ended_ = !reuse_;
  } else if (repeat_ == TimerRepeat::after_each_call) {
    set(extras_->period);
  } else if (const std::int64_t step = extras_->period; step == kForEver) {
    when = kNever;
  } else {
    const std::int64_t now = clock().now().time_since_epoch().count();
    when += step;
    if (when <= now) when += ((now - when) / step + 1) * step;
  }
}

}  // namespace cooperative
