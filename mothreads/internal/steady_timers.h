#pragma once

// Timers of the steady clock, and the library's thread that fires them, which starts with the first of them.

#include <atomic>
#include <cstdint>
#include <mutex>
#include <thread>

#include "mothreads/internal/wait/timer_queue.h"

namespace mothreads::inline v0::internal {

class SteadyTimers final : public TimerQueue {
 public:
  // `name` is the thread's; it must stay valid.
  explicit SteadyTimers(const char* name);

  // Stops and joins the timer thread. Timers added later start it again.
  void end_thread();

  bool has_thread() const noexcept { return running_.load(std::memory_order_acquire); }

 private:
  void added(std::int64_t when) override;
  void go_on_in_child() noexcept override;
  void start_thread();
  void run() noexcept;

  const char* const name_;
  std::mutex thread_mutex_;  // starting and ending the thread
  std::thread thread_;
  std::atomic<bool> running_{false};
  std::atomic<bool> ending_{false};

  // The time to which the thread sleeps; who adds an earlier timer lowers it and wakes the thread.
  std::atomic<std::int64_t> asleep_until_{0};
  std::atomic<std::uint32_t> wake_word_{0};
};

// Those of Clock::steady(): for Tills, and for stop deadlines.
SteadyTimers& steady_timers();
SteadyTimers& stop_watch_timers();

}  // namespace mothreads::internal
