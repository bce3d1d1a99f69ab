#pragma once

// When a scheduler with fibers that run looks at the clock and asks the kernel: each look costs as much as a short round. On the
// scheduler's thread alone.

#include <algorithm>
#include <cstdint>

#include "cooperative/internal/scheduler/near_clock.h"
#include "mothreads/clock.h"
#include "mothreads/internal/wait/timer_wheel.h"

namespace cooperative::inline v0::internal {

class Pacing {
 public:
  // So long the next look may be away while fibers run, in nanoseconds.
  static constexpr std::int64_t kSoon = 100'000;

  // Before a round: false when the scheduler has to ask look_is_due().
  bool skips_question() noexcept {
    if (rounds_to_check_ <= 1) return false;
    --rounds_to_check_;
    return true;
  }
  [[gnu::always_inline]] inline bool look_is_due(bool has_ready, const mothreads::Clock& clock, NearClock& near_clock) noexcept;
  // The look begins.
  void looks() noexcept {
    next_due_ = mothreads::internal::TimerWheel::kNever;
    rounds_since_look_ = 0;
    last_look_ticks_ = __builtin_ia32_rdtsc();
  }

  // A timer of that time does not wait for the next usual look.
  void expect_soon(std::int64_t when) noexcept {
    next_due_ = std::min(next_due_, when);
    rounds_to_check_ = rounds_per_check_ = 1;
  }

 private:
  // Timers are looked at when so many rounds or so many ticks of the processor's counter have passed: it runs at 1 GHz or more, so
  // that is 50 µs at most.
  static constexpr std::uint32_t kRoundsPerLook = 64;
  static constexpr std::uint64_t kTicksPerLook = 50'000;
  // The counter itself is read every round, but for rounds so short that it would be half of their time.
  static constexpr std::uint32_t kShortRoundsPerCheck = 8;
  static constexpr std::uint64_t kTicksOfShortRounds = 2'000;

  std::uint32_t rounds_to_check_ = 1;  // so many to the next question whether a look is due
  std::uint32_t rounds_per_check_ = 1;
  std::uint32_t rounds_since_look_ = 0;
  std::uint64_t last_check_ticks_ = 0;
  std::uint64_t last_look_ticks_ = 0;
  std::int64_t next_due_ = mothreads::internal::TimerWheel::kNever;  // of a timer that will not wait for the next usual look
};

inline bool Pacing::look_is_due(bool has_ready, const mothreads::Clock& clock, NearClock& near_clock) noexcept {
  const std::uint32_t rounds = rounds_per_check_ - rounds_to_check_ + 1;
  rounds_to_check_ = rounds_per_check_ = 1;
  rounds_since_look_ += rounds;
  if (!has_ready || !clock.is_real() || rounds_since_look_ >= kRoundsPerLook) return true;
  if (next_due_ != mothreads::internal::TimerWheel::kNever) [[unlikely]] return near_clock.not_before_now(clock).time_since_epoch().count() >= next_due_;
  const std::uint64_t ticks = __builtin_ia32_rdtsc();
  if (ticks - last_check_ticks_ < kTicksOfShortRounds) {
    rounds_to_check_ = rounds_per_check_ = std::min(kShortRoundsPerCheck, kRoundsPerLook - rounds_since_look_);
  }
  last_check_ticks_ = ticks;
  return ticks - last_look_ticks_ >= kTicksPerLook;
}

}  // namespace cooperative::internal
