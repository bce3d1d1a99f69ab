#pragma once

// What every Queue<T> has, whatever T: two sides, the waiters on each, and being closed.
//
// Positions grow for ever: items are at [popped, pushed). The producers' mutex guards `pushed_`, the consumers' `popped_`; each
// side keeps an older value of the other's and looks again only when that is not enough. Everything else, and every waiting,
// is changed under both, taken in the order producers', consumers', so that holding either is enough to see that nobody waits.
//
//     Whenever the producers' mutex is free, no consumer waits while there are items.
//     Whenever the consumers' mutex is free, no producer waits while there is room.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "mothreads/contexts/tiny_mutex.h"
#include "mothreads/contexts/wait.h"
#include "mothreads/ended.h"
#include "mothreads/ended_early.h"
#include "mothreads/signal.h"

namespace mothreads {
struct QueueOptions;
}

namespace mothreads::internal {

class QueueCore {
  // Not zero: items pushed to the front take positions before it.
  static constexpr std::uint64_t kFirstPosition = std::uint64_t{1} << 62;

 public:
  QueueCore(const QueueCore&) = delete;
  QueueCore& operator=(const QueueCore&) = delete;

  const std::string& name() const { return name_; }
  std::size_t max() const { return max_; }

 protected:
  enum class Place : std::uint8_t { back, front, forced };

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
      core_.consumers_mutex_.unlock();
      core_.producers_mutex_.unlock();
    }
    Both(const Both&) = delete;
    Both& operator=(const Both&) = delete;

   private:
    const QueueCore& core_;
  };

  std::size_t size_now() const noexcept;     // as of one moment; without the mutexes
  std::size_t size_approx() const noexcept;  // too many when others pop meanwhile
  std::size_t positions_in_use() const noexcept;

  // Throws QueueClosed, naming the queue.
  void must_be_ready(Ended ended) const;
  [[noreturn]] void fail_not_hashable() const;
  [[noreturn]] void fail_too_many(std::size_t count) const;

  // Parks an add that finds no room; logs every 5 s that it still waits, unless silent. True when the wait is over, with `why`.
  // False when it was only an interim end: then the wait has to be armed again.
  bool park_producer(Wait& wait, const Until& until, Instant& waiting_since, Why& why) const;

  // Look for a short while whether the other side comes, without queueing up for it.
  bool spin_for_item() const;
  bool spin_for_room() const;

  // Makes drained_ go once it is closed and empty. Without the mutexes.
  void go_if_drained() const;

  static WaitDescription describe_add(const QueueCore& core);
  static WaitDescription describe_pop(const QueueCore& core);

  // --- what producers change, on a cache line of its own: kept apart by room, since an alignment would bind whoever has a Queue
  static constexpr std::size_t kCacheLine = 64;
  char apart_from_before_[kCacheLine];
  mutable TinyMutex producers_mutex_;
  std::uint64_t popped_seen_ = kFirstPosition;  // an older value of popped_; guarded by the producers' mutex
  std::atomic<std::uint64_t> pushed_{kFirstPosition};

  // --- what consumers change, on another
  char apart_from_producers_[kCacheLine];
  mutable TinyMutex consumers_mutex_;
  std::uint64_t pushed_seen_ = kFirstPosition;  // an older value of pushed_; guarded by the consumers' mutex
  std::atomic<std::uint64_t> popped_{kFirstPosition};

  // --- what is changed under both only, and so may be read under either
  char apart_from_consumers_[kCacheLine];
  WaitList producers_;
  WaitList consumers_;
  bool closed_flag_ = false;
  const bool unique_;
  const bool silent_;
  const bool allow_add_after_close_;
  const std::size_t max_;
  const std::string name_;
  Signal closed_signal_;
  Signal drained_;
};

}  // namespace mothreads::internal
