#pragma once

// A clock that a test moves by hand: waits, Tills and stop deadlines of the contexts that use it take no real time.
//
//     testing::VirtualClock clock;
//     UseClock use(clock);                    // this thread, and the threads it makes from here on
//     auto t = Thread::run("sleeper", [](Signal please_stop) { Till(absl::Hours(1)).wait(); });
//     clock.await_timers(1);                  // the sleeper sleeps
//     clock.advance(absl::Hours(1));
//     t.join();
//
// It must outlive everything that uses it. Thread safety: every member may be called from any thread.

#include <atomic>
#include <cstddef>
#include <optional>

#include "absl/time/time.h"
#include "mothreads/clock.h"
#include "mothreads/internal/wait/wait.h"

namespace mothreads::inline v0::testing {

class VirtualClock final : public Clock, private internal::TimerQueue {
 public:
  // The civil time begins at `wall_time`, and passes with the rest; without one it is the system's.
  explicit VirtualClock(std::optional<absl::Time> wall_time = std::nullopt);
  ~VirtualClock();

  Instant now() const noexcept override;
  absl::Time wall_now() const noexcept override;

  // Moves the time on, stopping at each timer on the way to fire it, in the calling thread. What the woken threads do then
  // happens beside the caller: use await_timers() to meet them again.
  void advance(absl::Duration by);

  // Moves to the first timer and fires it and all of the same time; false when there is none.
  bool advance_to_next();

  // How many timed waits, Tills and stop deadlines are pending.
  std::size_t timers() const noexcept { return size(); }

  // Blocks until at least `count` are pending.
  void await_timers(std::size_t count);

 private:
  static internal::TimerQueue& timers_of(VirtualClock& clock);
  void added(std::int64_t when) override;
  std::int64_t move_to(std::int64_t time);  // gives the time then

  const std::optional<absl::Time> wall_start_;
  std::atomic<std::int64_t> now_;
  internal::TinyMutex waiters_mutex_;
  internal::WaitList waiters_ ABSL_GUARDED_BY(waiters_mutex_);
};

}  // namespace mothreads::testing
