#include "mothreads/internal/steady_timers.h"

#include <new>

#include "mothreads/internal/aliens.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/base/futex.h"
#include "mothreads/internal/library_thread.h"

namespace mothreads::inline v0::internal {
namespace {

std::int64_t steady_now() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

}  // namespace

SteadyTimers::SteadyTimers(const char* name) : TimerQueue(steady_now()), name_(name) {}

void SteadyTimers::added(std::int64_t when) {
  // acquire pairs with the release in start_thread().
  if (!running_.load(std::memory_order_acquire)) start_thread();
  // seq_cst, with the thread's store of asleep_until_ and its look at the wheel in between: either we see its new time, or
  // its look at the wheel (under the queue's mutex, after that store) sees our timer.
  std::int64_t until = asleep_until_.load(std::memory_order_seq_cst);
  while (when < until) {
    if (!asleep_until_.compare_exchange_weak(until, when, std::memory_order_seq_cst)) continue;
    wake_word_.fetch_add(1, std::memory_order_release);  // pairs with the thread's acquire load before it sleeps
    futex_wake(&wake_word_, 1);
    return;
  }
}

void SteadyTimers::start_thread() {
  std::lock_guard lock(thread_mutex_);
  if (running_.load(std::memory_order_relaxed)) return;
  ending_.store(false, std::memory_order_relaxed);
  thread_ = start_without_signals(name_, [this] { run(); });
  running_.store(true, std::memory_order_release);  // pairs with the acquire in added()
}

void SteadyTimers::end_thread() {
  std::lock_guard lock(thread_mutex_);
  if (!running_.load(std::memory_order_relaxed)) return;
  ending_.store(true, std::memory_order_release);  // pairs with the acquire in run()
  wake_word_.fetch_add(1, std::memory_order_release);
  futex_wake(&wake_word_, 1);
  thread_.join();
  running_.store(false, std::memory_order_release);
}

// The thread is not there, and may have been about to start or to end.
void SteadyTimers::go_on_in_child() noexcept {
  new (&thread_mutex_) std::mutex;
  new (&thread_) std::thread;
  running_.store(false, std::memory_order_relaxed);
  ending_.store(false, std::memory_order_relaxed);
  asleep_until_.store(0, std::memory_order_relaxed);
}

void SteadyTimers::run() noexcept {
  const LibraryThread thread(name_);
  const Born here;
  // While the thread is awake it looks again before it sleeps, so nobody needs to wake it.
  asleep_until_.store(INT64_MIN, std::memory_order_seq_cst);
  while (!ending_.load(std::memory_order_acquire)) {
    const std::int64_t next = expire(steady_now());
    if (here.is_left_behind()) end_forked_process();  // a then() function has called fork(), and has returned in the child
    const std::uint32_t word = wake_word_.load(std::memory_order_acquire);
    asleep_until_.store(next, std::memory_order_seq_cst);
    // A timer added since expire() looked may not have seen that store: look once more.
    const std::int64_t first = next_wake();
    if (first <= steady_now() || first < next) continue;
    if (ending_.load(std::memory_order_acquire)) break;
    if (next == TimerWheel::kNever) {
      futex_wait(&wake_word_, word);
    } else {
      futex_wait(&wake_word_, word, Instant(std::chrono::nanoseconds(next)));
    }
    asleep_until_.store(INT64_MIN, std::memory_order_seq_cst);
  }
}

}  // namespace mothreads::internal
