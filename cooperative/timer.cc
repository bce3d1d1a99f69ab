#include "cooperative/timer.h"

#include <optional>
#include <utility>

#include "cooperative/errors.h"
#include "cooperative/internal/home.h"
#include "mothreads/clock.h"
#include "mothreads/instant.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"

namespace cooperative {

using mothreads::Instant;
using mothreads::Misuse;
using mothreads::Until;
using mothreads::Why;

struct Timer::State {
  void check_home() const { home.check("a Timer"); }

  void set(absl::Duration timeout) {
    period = timeout;
    due.reset();
    if (timeout != absl::InfiniteDuration()) due = clock.now() + absl::ToChronoNanoseconds(timeout);
  }

  // Tells the fiber that something is different.
  void change() {
    if (auto* node = waiters.claim_front_on_host()) core.end_wait(*node, Why::ready);
  }

  void run() {
    while (!cancelled) {
      if (await_time() == Why::ready) continue;
      call();
      if (cancelled || was_reset) continue;
      if (repeat == Repeat::no) {
        due.reset();
        if (!reuse) break;
      } else {
        set_next();
      }
    }
    ended = true;
  }

  Why await_time() {
    static constexpr const char* kVerb = "waits for the time of a timer";
    mothreads::internal::WaitNode node;
    return due ? core.wait(waiters, node, kVerb, *due) : core.wait(waiters, node, kVerb, {});
  }

  void call() {
    was_reset = false;
    try {
      function();
    } catch (const FiberCancelled&) {
      throw;
    } catch (...) {
      mothreads::log::error("Timer callback raised uncaught exception: {}", mothreads::log::describe(std::current_exception()));
    }
  }

  void set_next() {
    if (repeat == Repeat::after_each_call) return set(period);
    const auto step = absl::ToChronoNanoseconds(period);
    const Instant now = clock.now();
    *due += step;
    if (*due <= now) *due += ((now - *due) / step + 1) * step;
  }

  internal::SchedulerCore& core = internal::SchedulerCore::current();
  const internal::Home home;
  mothreads::Clock& clock = mothreads::Clock::current();
  absl::AnyInvocable<void()> function;
  Repeat repeat = Repeat::no;
  bool reuse = false;
  bool cancelled = false;
  bool was_reset = false;  // since the call began
  bool ended = false;
  absl::Duration period;
  std::optional<Instant> due;
  mothreads::internal::WaitList waiters;  // the fiber
};

namespace {

void check_period(absl::Duration timeout, Repeat repeat) {
  if (repeat != Repeat::no && timeout <= absl::ZeroDuration()) {
    throw Misuse("a Timer that repeats needs a time of more than zero, else it would never rest");
  }
}

}  // namespace

Timer::Timer(absl::Duration timeout, absl::AnyInvocable<void()> function, const TimerOptions& options)
    : state_(std::make_shared<State>()) {
  if (!function) throw Misuse("a Timer was given an empty function: give it one that can be called");
  check_period(timeout, options.repeat);
  state_->function = std::move(function);
  state_->repeat = options.repeat;
  state_->reuse = options.reuse;
  state_->set(timeout);
  fiber_ = spawn({.name = "timer", .stack_size = options.stack_size}, [state = state_] { state->run(); });
}

Timer::~Timer() {
  if (!fiber_.owns()) return;
  try {
    cancel();
  } catch (const Misuse&) {
    return;  // another thread: the fiber's handle is fatal there, and says so
  }
  const mothreads::internal::NoUnwind whole;
  if (internal::is_running(fiber_.id())) {
    fiber_.release();  // it destroys itself: the state lives until the fiber ends
    return;
  }
  try {
    fiber_.join();
  } catch (const WasCancelled&) {  // with the fiber that made it
  }
}

void Timer::reset(absl::Duration timeout) {
  state_->check_home();
  reset(timeout, state_->repeat);
}

void Timer::reset(absl::Duration timeout, Repeat repeat) {
  state_->check_home();
  check_period(timeout, repeat);
  if (state_->cancelled) throw Misuse("Cannot reuse this timer: it was cancelled");
  if (state_->ended) throw Misuse("Cannot reuse this timer: it has gone, and was not made with .reuse = true");
  state_->repeat = repeat;
  state_->was_reset = true;
  state_->set(timeout);
  state_->change();
}

void Timer::cancel() {
  state_->check_home();
  state_->cancelled = true;
  state_->change();
}

}  // namespace cooperative
