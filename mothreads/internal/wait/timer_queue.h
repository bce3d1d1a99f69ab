#pragma once

// The timers of one clock: a wheel behind a mutex. Who makes the time pass calls expire().

#include <cstddef>
#include <cstdint>

#include "absl/base/thread_annotations.h"
#include "mothreads/internal/base/tiny_mutex.h"
#include "mothreads/internal/wait/timer_wheel.h"

namespace mothreads::inline v0::internal {

class TimerQueue {
 public:
  explicit TimerQueue(std::int64_t now);
  TimerQueue(const TimerQueue&) = delete;
  TimerQueue& operator=(const TimerQueue&) = delete;

  // Throws std::system_error when the thread that is to fire it cannot be had; then it has not been added.
  void add(TimerNode& node, std::int64_t when);

  // After it returns the timer will not be taken any more; one that was taken may still be firing. True when it was to come.
  bool cancel(TimerNode& node) noexcept;

  // Runs `f` under the queue's mutex with whether the timer is still to come.
  template <typename F>
  void with_pending(TimerNode& node, F&& f) {
    TinyLock lock(mutex_);
    f(node.is_linked());
  }

  // Fires what is due, in the caller's thread; returns when to call again (TimerWheel::kNever for not at all).
  std::int64_t expire(std::int64_t now);

  // Fires all of a kind as if they were due, in the caller's thread.
  void fire_all(const TimerOps& kind, void (*fire)(TimerNode& node));

  std::size_t size() const noexcept;
  std::int64_t first_time() const noexcept;  // kNever when there is none
  std::int64_t next_wake() const noexcept;   // as TimerWheel's

 protected:
  virtual ~TimerQueue();

 private:
  // Appends to a chain through `previous`, and returns its new end.
  TimerNode** take_all(const TimerOps& kind, TimerNode** end);
  friend void fire_everywhere(const TimerOps& kind, void (*fire)(TimerNode& node));

  // Called without the mutex when a timer was added, with its time. What it throws undoes the adding.
  virtual void added(std::int64_t when) = 0;
  // In the child of a fork(), where nothing waits any more.
  virtual void go_on_in_child() noexcept {}

  // No timer of the parent's fires in the child of a fork(): each leaves its queue.
  static void hold_all() noexcept;
  static void leave_all() noexcept;
  static void empty_all_in_child() noexcept;
  friend struct TimerQueues;

  mutable TinyMutex mutex_;
  TimerWheel wheel_ ABSL_GUARDED_BY(mutex_);
};

// Fires every timer of every clock whose operations are `kind`, due or not, by `fire` in place of the kind's own.
void fire_everywhere(const TimerOps& kind, void (*fire)(TimerNode& node));

}  // namespace mothreads::internal
