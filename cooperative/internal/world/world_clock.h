#pragma once

// The clock of a test world: time moves by jumps, when nobody in the world can run. On the thread that runs the world.

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"
#include "mothreads/clock.h"
#include "mothreads/instant.h"
#include "mothreads/internal/wait/timer_queue.h"

namespace cooperative::inline v0::internal {

class WorldClock final : public mothreads::Clock {
 public:
  // Not zero, so that nothing takes an early time for "none".
  static constexpr std::int64_t kStart = 1'000'000'000'000;

  explicit WorldClock(absl::Time wall_start);

  absl::Time wall_now() const noexcept override { return wall_start_ + absl::Nanoseconds(now_ - kStart); }
  mothreads::Instant now() const noexcept override { return mothreads::Instant(std::chrono::nanoseconds(now_)); }
  std::int64_t nanoseconds() const noexcept { return now_; }

  std::int64_t first_time() const noexcept;
  std::size_t pending() const noexcept { return timers_.size() + watches_.size(); }
  bool is_due() const noexcept { return first_time() <= now_; }
  bool a_stop_is_due() const noexcept { return watches_.first_time() <= now_; }
  void fire_due();
  void move_to(std::int64_t time) noexcept;

 private:
  class Timers final : public mothreads::internal::TimerQueue {
   public:
    using TimerQueue::TimerQueue;

   private:
    void added(std::int64_t) override {}
  };

  const absl::Time wall_start_;
  std::int64_t now_;
  Timers timers_;
  Timers watches_;
};

}  // namespace cooperative::internal
