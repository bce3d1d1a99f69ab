#pragma once

// What every Queue<T> has, whatever T: two sides, the waiters on each, and being closed.
//
// Positions grow for ever: items are at [popped, pushed). The producers' mutex guards `pushed_`, the consumers' `popped_`; each
// side keeps an older value of the other's and looks again only when that is not enough. Everything else, and every waiting,
// is changed under both, taken in the order producers', consumers', so that holding either is enough to see that nobody waits.
//
//     Whenever the producers' mutex is free, no consumer that can be woken waits while there are items.
//     Whenever the consumers' mutex is free, no producer that can be woken waits while there is room.
//
// A waiter that cannot be woken has been: by another waker, by its limit, or to be unwound. It takes itself off the list.
//
// Whoever learns from a call what it waited for may destroy the queue at once, while that call is still on its way out. So a call
// wakes others last, by its own copies of the Signals, and a waiter that was woken comes back no more.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "mothreads/ended.h"
#include "mothreads/ended_early.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/base/kept_name.h"
#include "mothreads/internal/base/tiny_mutex.h"
#include "mothreads/internal/shared_name.h"
#include "mothreads/internal/wait/wait.h"
#include "mothreads/signal.h"

namespace mothreads::inline v0 {
struct QueueOptions;
}

namespace mothreads::inline v0::internal {

class QueueCore {
  // Not zero: items pushed to the front take positions before it.
  static constexpr std::uint64_t kFirstPosition = std::uint64_t{1} << 62;

 public:
  QueueCore(const QueueCore&) = delete;
  QueueCore& operator=(const QueueCore&) = delete;

  std::string_view name() const { return name_.view(); }
  std::size_t max() const { return max_; }

 protected:
  enum class AddAt : std::uint8_t { back, front, forced };

  QueueCore(std::string_view name, const QueueOptions& options);
  ~QueueCore();

  // Both mutexes, for what is not quick.
  class Both {
   public:
    explicit Both(const QueueCore& core) ABSL_NO_THREAD_SAFETY_ANALYSIS : core_(core) {
      core.producers_mutex_.lock();
      core.consumers_mutex_.lock();
    }
    ~Both() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      const bool quick = !core_.unique_ && !core_.is_closed() && core_.producers_.is_empty() && core_.consumers_.is_empty();
      core_.adds_quickly_ = core_.pops_quickly_ = quick;
      core_.consumers_mutex_.unlock();
      core_.producers_mutex_.unlock();
    }
    Both(const Both&) = delete;
    Both& operator=(const Both&) = delete;

   private:
    const QueueCore& core_;
  };

  // What a call does last, without the mutexes, and without the queue.
  struct Afterwards {
    ~Afterwards() { run(); }
    void run() {
      woken.finish_all();
      std::exchange(drained, NEVER).state(kAccess).go();  // go() itself is refused to everybody
    }
    Claimed woken;
    Signal drained = NEVER;
  };

  std::size_t size_now() const noexcept;     // as of one moment; without the mutexes
  std::size_t size_approx() const noexcept;  // too many when others pop meanwhile
  std::size_t positions_in_use() const noexcept;

  // relaxed: it is changed under both mutexes; without them it is a hint.
  bool is_closed() const noexcept { return closed_.load(std::memory_order_relaxed); }
  const Signal& closed_signal() const;
  const Signal& drained_signal() const;
  // With both mutexes held: what has to go when the queue is closed and empty by now; else NEVER.
  Signal drained_now() const noexcept { return is_drained() ? drained_ : NEVER; }
  bool is_drained() const noexcept;

  // Throws QueueClosed, naming the queue.
  void must_be_ready(Ended ended) const;
  [[noreturn]] void fail_not_hashable() const;
  [[noreturn]] void fail_too_many(std::size_t count) const;

  // Parks an add that finds no room; logs every 5 s that it still waits, unless silent.
  Why park_producer(Wait& wait, Limit limit) const;

  // Look for a short while whether the other side comes, without queueing up for it.
  bool spin_for_item() const;
  bool spin_for_room() const;

  static void write_queue_name(const void* core, char* buffer, std::size_t size);
  static void write_shared_name(const void* name, char* buffer, std::size_t size);
  // The descriptions of waits that may outlast the queue: `name` is the waiter's own copy of the queue's name.
  WaitDescription describe_add(const SharedName& name) const noexcept { return {"waits for room in queue", &name, write_shared_name, kept_name_.number()}; }
  WaitDescription describe_pop(const SharedName& name) const noexcept { return {"pops from queue", &name, write_shared_name, kept_name_.number()}; }

  // The sides are on cache lines of their own, and so is the ring: kept apart by 56 bytes or more, since an alignment would bind whoever
  // has a Queue. What is seldom used lies between.

  // --- what producers change
  mutable TinyMutex producers_mutex_;
  mutable bool adds_quickly_ = true;  // nobody waits, and it is neither closed nor unique; changed under both mutexes
  std::uint64_t popped_seen_ = kFirstPosition;  // an older value of popped_; guarded by the producers' mutex
  std::atomic<std::uint64_t> pushed_{kFirstPosition};
  std::uint64_t room_ = 0;  // the lesser of max and the ring's capacity; changed under both mutexes

  // --- what is changed under both, or never
  WaitList producers_;
  WaitList consumers_;
  std::atomic<bool> closed_{false};
  const bool unique_;
  const bool silent_;
  const bool allow_add_after_close_;
  const Born born_;
  const std::size_t max_;
  mutable Signal closed_signal_ = NEVER;  // made when asked for, like the next
  mutable Signal drained_ = NEVER;        // closed and empty
  char apart_from_producers_[8];

  // --- what consumers change
  mutable TinyMutex consumers_mutex_;
  mutable bool pops_quickly_ = true;  // as adds_quickly_
  std::uint64_t pushed_seen_ = kFirstPosition;  // an older value of pushed_; guarded by the consumers' mutex
  std::atomic<std::uint64_t> popped_{kFirstPosition};

  const SharedName name_;  // shared with what pop() gives
  const KeptName kept_name_;
  char apart_from_consumers_[36];

 private:
  const Signal& made(Signal& signal, const char* what, const char* remedy, bool (QueueCore::*has_gone)() const noexcept) const;
};

}  // namespace mothreads::internal
