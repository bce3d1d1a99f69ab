#pragma once

// A function that is called when a time has come, in a fiber of its own. It begins with the floating-point environment of whoever made the
// scheduler.
//
//     co::Timer once(absl::Seconds(5), [] { alarm(); });
//     co::Timer each(absl::Milliseconds(100), [] { sample(); }, {.repeat = co::TimerRepeat::at_fixed_rate});
//
// The function may wait as long as it likes. What it throws is logged, and the timer lives on. The destructor cancels the timer and
// waits for a call that is under way, but for one that destroys it itself. Until its time has come a timer is no more than a link in
// the scheduler's timers. A call runs under the fiber that made the timer, as long as that one runs, and is stopped with it; that
// cancels the timer. Used, and destroyed, on one scheduler's thread alone, before that scheduler ends.

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "cooperative/internal/scheduler/fiber_block.h"
#include "cooperative/internal/wait/home.h"
#include "mothreads/instant.h"
#include "mothreads/internal/wait/timer_wheel.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {

enum class TimerRepeat : std::uint8_t {
  no,
  after_each_call,  // the next time counts from the end of the call: cothread's retrigger
  at_fixed_rate,    // from the time before: times that passed during a call are left out
};

struct TimerOptions {
  TimerRepeat repeat = TimerRepeat::no;
  bool reuse = false;          // one that has never repeated can be set again after it has gone; others always can
  std::size_t stack_size = 0;  // as FiberOptions'
};

// When a Timer goes: so long from the call, or a point of the steady clock, or a wall-clock time, converted at the call.
class TimerTime {
 public:
  TimerTime(absl::Duration duration)
      // Slow for an infinite one.
      : nanoseconds_(duration == absl::InfiniteDuration() ? kForEver : absl::ToInt64Nanoseconds(duration)) {}
  template <typename Rep, typename Period>
  TimerTime(std::chrono::duration<Rep, Period> duration) : TimerTime(*mothreads::Until(duration).only_duration()) {}
  TimerTime(mothreads::Instant instant) : nanoseconds_(instant.time_since_epoch().count()), is_instant_(instant != mothreads::Instant::max()) {}
  TimerTime(mothreads::Instant::Point point) : TimerTime(mothreads::Instant(point)) {}
  TimerTime(absl::Time time);
  template <std::integral Number>
  TimerTime(Number) = delete;  // of which unit? use absl::Seconds() and its like

 private:
  friend class Timer;
  static constexpr std::int64_t kForEver = std::numeric_limits<std::int64_t>::max();

  std::int64_t nanoseconds_;
  bool is_instant_ = false;
};

class [[nodiscard]] Timer : private mothreads::internal::TimerNode {
 public:
  // With absl::InfiniteDuration() it sleeps until reset(). A repeating one uses the same duration each time; it must be more than zero,
  // and no point in time, else throws mothreads::Misuse.
  [[nodiscard]] Timer(TimerTime time, absl::AnyInvocable<void()>&& function, const TimerOptions& options = {})
      : Timer(std::string_view(), time, std::move(function), options) {}
  // The name is that of the fiber in which the function runs, in reports.
  [[nodiscard]] Timer(std::string_view name, TimerTime time, absl::AnyInvocable<void()>&& function, const TimerOptions& options = {});
  ~Timer() {
    if (!home_.is_here()) [[unlikely]] {
      go_late();
    } else {
      disarm();
      if (call_ != nullptr) [[unlikely]] await_call();
    }
  }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // Sets it anew, from now: a time that has come but was not acted upon is forgotten; absl::InfiniteDuration() for none. A duration that is
  // given during a call counts from the end of the call. Throws mothreads::Misuse after cancel(), and after the end of one that was made
  // neither to repeat nor for reuse.
  void reset(TimerTime time);
  void reset(TimerTime time, TimerRepeat repeat);

  // It will never call again. A call that is under way goes on. Once more changes nothing.
  void cancel() {
    home_.check("a Timer");
    is_cancelled_ = true;
    disarm();
  }

 private:
  // One that is to be made, or under way, in its fiber. It may outlive the timer.
  struct Run;
  // What few timers have: the common one shall be small.
  struct Extras {
    mothreads::Clock* clock = nullptr;  // the maker's; null for the scheduler's
    std::shared_ptr<const mothreads::internal::LogExtras> log_extras = nullptr;
    std::int64_t period = 0;  // nanoseconds; of one that repeats
    std::size_t stack_size = 0;
    std::string name = "timer";
  };
  static const mothreads::internal::TimerOps kOps;

  internal::SchedulerCore& core() const { return home_.core(); }
  Extras& extras();
  void set(TimerTime time);
  void set(std::int64_t nanoseconds);
  void set_with_extras(std::int64_t nanoseconds);
  const mothreads::Clock& clock() const;
  void arm() noexcept;
  // A call that has not begun is not made.
  void disarm() noexcept {
    if (is_linked()) core().cancel_timer(*this);
    if (call_ != nullptr) [[unlikely]] drop_call();
  }
  void drop_call() noexcept;
  void await_call() noexcept;
  void go_late() noexcept;
  void start_call() noexcept;
  void start(internal::FiberBlock* parent, bool awaits_time) noexcept;
  bool was_made_before_the_stop() const;
  bool maker_only_ended() const;
  void call_ended(Run& call) noexcept;
  void set_next() noexcept;

  TimerRepeat repeat_;
  const bool reuse_;
  bool was_reset_ = false;  // since the call began
  bool counts_from_end_ = false;  // `when` is a duration from the end of the call
  bool is_cancelled_ = false;
  bool has_ended_ = false;
  Run* call_ = nullptr;
  const internal::Home home_;
  std::unique_ptr<Extras> extras_;
  absl::AnyInvocable<void()> function_;  // the call has it while it is under way
  internal::ParentRef maker_;  // of one that the root made, the number is that of the stops before
};

}  // namespace cooperative
