#pragma once

// Watches over the deadline of one stop. Fibers are cancelled at the deadline, by their own schedulers; where there are some, the
// watch gives them kUnwindGrace. Who has not ended then is reported, and the process ends, unless somebody has chosen otherwise
// (when_stuck.h).

#include <atomic>
#include <cstdint>
#include <string_view>

#include "mothreads/instant.h"
#include "mothreads/internal/wait/timer_queue.h"

namespace mothreads::inline v0 {
class Clock;
}

namespace mothreads::inline v0::internal {

// Counted, because a timer that was taken may still look at one whose stop has ended.
class StopWatch : private TimerNode {
 public:
  StopWatch(const StopWatch&) = delete;
  StopWatch& operator=(const StopWatch&) = delete;

  void ref() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void unref() noexcept {
    // acq_rel: the last owner's destruction comes after what the others did.
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

 protected:
  explicit StopWatch(Clock& clock) : TimerNode(kOps), clock_(clock) {}
  virtual ~StopWatch() = default;

  Clock& clock() const noexcept { return clock_; }

  // Any thread. When the timer cannot be had the log says so, and the stop goes on without its deadline: better than to end here,
  // maybe inside a destructor.
  void watch_until(Instant deadline) noexcept;
  // Nobody watches any more. Called after has_ended() has become true, so that a watch that is just set notices.
  void end_watch() noexcept;

 private:
  virtual bool has_ended() const noexcept = 0;
  virtual bool may_unwind() const = 0;  // fibers are among those who have not ended
  virtual std::string_view watched_name() const noexcept = 0;
  // Goes on without those that are stuck, where somebody has chosen that. True when there was one: those who waited for them are given
  // kUnwindGrace.
  virtual bool give_up() { return false; }
  [[noreturn]] virtual void report() = 0;

  static bool take(TimerNode&) { return true; }
  static void fire(TimerNode& timer);
  static constexpr TimerOps kOps{take, fire};

  Clock& clock_;
  std::atomic<std::uint32_t> references_{1};
  bool grace_given_ = false;  // only who fires the timer looks
};

}  // namespace mothreads::internal
