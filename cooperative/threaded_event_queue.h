#pragma once

// Values between threads and fibers, in any mix on both sides, in order.
//
//     co::ThreadedEventQueue<Reading> readings;
//     readings.signal(reading);                              // any thread, any fiber; never waits
//     for (const Reading& r : readings.until(please_stop)) plot(r);
//
// On a fiber each wait lets others have a turn first, also when there is a value (docs/suspension_points.md).
// It has no bound: where the producers may be faster than the consumers for long, a mothreads::Queue makes them wait. For loops of
// others (poll, Qt) it has a descriptor. Thread safety: every member may be called from any thread.

#include <cstddef>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/cleanup/cleanup.h"
#include "cooperative/errors.h"
#include "cooperative/internal/scheduler/ready_descriptor.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/internal/wait/branch.h"
#include "cooperative/internal/wait/home.h"
#include "cooperative/internal/wait/label.h"
#include "mothreads/ended.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/base/ring.h"
#include "mothreads/internal/base/tiny_mutex.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/internal/wait/host.h"
#include "mothreads/internal/wait/wait.h"
#include "mothreads/misuse.h"
#include "mothreads/posted.h"
#include "mothreads/result.h"
#include "mothreads/signal.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {

template <typename T>
class ThreadedEventQueue {
  static_assert(std::is_nothrow_move_constructible_v<T>, "what goes from thread to thread must be moved without a failure half way");

 public:
  ThreadedEventQueue() = default;
  explicit ThreadedEventQueue(std::string_view name) : label_("a ThreadedEventQueue", name) {}  // for reports
  // Nobody may wait for it any more, or be about to leave a wait.
  ~ThreadedEventQueue() {
    if (born_.is_left_behind()) return;  // a thread of the parent may be inside, or wait
    mothreads::internal::TinyLock lock(mutex_);
    if (waiters_.is_empty()) return;
    mothreads::internal::fatal_misuse(label_.object("a ThreadedEventQueue") + " was destroyed while somebody waits for it: let it outlive who waits");
  }
  ThreadedEventQueue(const ThreadedEventQueue&) = delete;
  ThreadedEventQueue& operator=(const ThreadedEventQueue&) = delete;

  // Adds a value, or hands it to the first who waits; never waits. When the queue is `closed` nothing has happened, and the value is
  // untouched, unless another thread closed it while a value of another type was converted, by a conversion that may throw. Whoever is
  // woken may destroy the queue at once.
  template <typename V = T>
    requires std::is_constructible_v<T, V&&>
  mothreads::Posted signal(V&& value) {
    if constexpr (std::is_nothrow_constructible_v<T, V>) {
      return put(std::forward<V>(value));
    } else {
      if (is_closed()) return mothreads::Why::closed;
      return put(T(std::forward<V>(value)));
    }
  }

  // The oldest value; waits for one if there is none. When the limit comes first throws Timedout; Closed when none can come.
  T wait(const mothreads::Until& until = {}) {
    mothreads::Result<T> value = next(until);
    if (value) return *std::move(value);
    const std::string_view object = value.object(mothreads::internal::kAccess).view();
    if (value.why() == mothreads::Why::closed) throw Closed(object, kClosed);
    internal::throw_wait_ended(object, value.why());
  }

  // wait() for loops: the Result has no value when the queue is closed and empty, or the limit came first.
  mothreads::Result<T> next(const mothreads::Until& until = {}) {
    mothreads::Result<T> value = mothreads::Why::closed;
    take(value, until);
    return value;
  }

  // No more values: those that are in it can still be taken. Wakes all who wait. Once more changes nothing.
  void close() {
    const bool is_watched = watch(Step::before, "closes a ThreadedEventQueue");
    mothreads::internal::Claimed waiting;
    {
      mothreads::internal::TinyLock lock(mutex_);
      closed_ = true;
      waiting = waiters_.take_claimed();
      descriptor_.set(true);
    }
    waiting.finish_all(mothreads::Why::closed);
    if (is_watched) watch(Step::after);
  }

  std::size_t size() const {
    mothreads::internal::TinyLock lock(mutex_);
    return values_.size();
  }

  // For poll(), readable while next() would not wait; only to be looked at, never read. Made at the first call; the queue's.
  int wait_descriptor() {
    mothreads::internal::TinyLock lock(mutex_);
    return descriptor_.get(closed_ || !values_.is_empty());
  }

  // for (const T& value : queue.until(please_stop)) waits for each value, and ends when the queue is closed and empty or the Signal
  // goes; for (const T& value : queue) only the former. Leaving the loop early leaves the rest in the queue.
  class Iterator {
   public:
    Iterator(ThreadedEventQueue& queue, mothreads::Signal stop) : queue_(&queue), stop_(std::move(stop)) { ++*this; }
    T& operator*() { return *value_; }
    Iterator& operator++() {
      value_ = mothreads::Why::closed;  // the last one is gone before this waits
      value_ = queue_->next(stop_);
      return *this;
    }
    friend bool operator==(const Iterator& iterator, std::default_sentinel_t) { return !iterator.value_; }

   private:
    ThreadedEventQueue* queue_;
    mothreads::Signal stop_;
    mothreads::Result<T> value_ = mothreads::Why::closed;
  };
  class Values {
   public:
    Values(ThreadedEventQueue& queue, mothreads::Signal stop) : queue_(queue), stop_(std::move(stop)) {}
    Iterator begin() { return Iterator(queue_, stop_); }
    std::default_sentinel_t end() { return {}; }

   private:
    ThreadedEventQueue& queue_;
    const mothreads::Signal stop_;
  };
  Values until(const mothreads::Signal& stop) { return Values(*this, stop); }
  Iterator begin() { return Iterator(*this, mothreads::NEVER); }
  std::default_sentinel_t end() { return {}; }

  class Branch;  // for wait_for_any() and wait_for_all()

 private:
  static constexpr const char* kObject = "event queue";
  static constexpr const char* kClosed = "the queue is closed, and empty";
  using Step = mothreads::internal::Step;
  static bool watch(Step step, const char* verb = nullptr) noexcept { return mothreads::internal::Context::watch(step, verb); }

  struct Waiter : mothreads::internal::WaitNode {
    using WaitNode::WaitNode;
    mothreads::Result<T> got = mothreads::Why::closed;
  };

  bool is_closed() const {
    mothreads::internal::TinyLock lock(mutex_);
    return closed_;
  }

  // In a test world: others may run before it, and right after it.
  template <typename V>
  [[gnu::cold, gnu::noinline]] mothreads::Posted put_watched(V&& value) {
    watch(Step::before, "adds to a ThreadedEventQueue");
    const mothreads::Posted posted = put<false>(std::forward<V>(value));
    watch(Step::after);
    return posted;
  }

  // A T is made of the value without an exception. `kAsks`: whether a test world watches.
  template <bool kAsks = true, typename V>
  mothreads::Posted put(V&& value) {
    if constexpr (kAsks) {
      if (is_watched_) [[unlikely]] return put_watched(std::forward<V>(value));
    }
    mothreads::internal::WaitNode* waiter = nullptr;
    {
      mothreads::internal::TinyLock lock(mutex_);
      if (closed_) return mothreads::Why::closed;
      waiter = waiters_.claim_front();
      if (waiter == nullptr) {
        values_.push_back(std::forward<V>(value));
        descriptor_.set(true);
      } else {
        static_cast<Waiter*>(waiter)->got.emplace(std::forward<V>(value));
      }
    }
    if (waiter != nullptr) waiter->finish(mothreads::Why::ready);
    return mothreads::Why::ready;
  }

  void take_front(mothreads::Result<T>& into) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    into.emplace(std::move(values_.front()));
    values_.drop_front();
    if (values_.is_empty() && !closed_) descriptor_.set(false);
  }

  bool is_ready() const {
    mothreads::internal::TinyLock lock(mutex_);
    return closed_ || !values_.is_empty();
  }

  void take(mothreads::Result<T>& into, const mothreads::Until& until) {
    using mothreads::Why;
    // On a fiber others have a turn at each call. Before it, so that nothing is lost.
    if (internal::SchedulerCore* core = internal::SchedulerCore::current_or_null(); core != nullptr) {
      if (core->is_watched) [[unlikely]] core->watch(Step::before, {"takes from a ThreadedEventQueue", nullptr, nullptr});
      if (is_ready()) core->give_turn(mothreads::internal::Host::Unwinds::yes);
    }
    mothreads::internal::Wait wait(label_.waits_everywhere("waits for a value of ThreadedEventQueue"));
    Waiter waiter(wait, Why::ready);
    std::optional<internal::Label> label;  // for when the queue is gone
    bool is_closed = false;
    {
      mothreads::internal::TinyLock lock(mutex_);
      if (!values_.is_empty()) {
        take_front(into);
        return;
      }
      label.emplace(label_);
      is_closed = closed_;
      if (!is_closed) waiters_.push_back(waiter);
    }
    if (is_closed) {
      into = mothreads::Result<T>(Why::closed, label->object(kObject));
      return;
    }
    bool was_woken = false;
    absl::Cleanup leave = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      if (was_woken) return;  // then it is off the list, and the queue may be gone
      mothreads::internal::TinyLock lock(mutex_);
      waiters_.remove(waiter);
    };
    const Why why = wait.park(mothreads::Limit(until));
    was_woken = why == Why::ready || why == Why::closed;
    if (why == Why::ready) {
      into.emplace(*std::move(waiter.got));
    } else {
      into = mothreads::Result<T>(why, label->object(kObject));
    }
  }

  const internal::Label label_{};
  mutable mothreads::internal::TinyMutex mutex_;  // held while T moves
  const bool is_watched_ = mothreads::internal::SignalState::watches_new();
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  const mothreads::internal::Born born_;
  mothreads::internal::RingQueue<T> values_ ABSL_GUARDED_BY(mutex_);
  mothreads::internal::WaitList waiters_ ABSL_GUARDED_BY(mutex_);
  internal::ReadyDescriptor descriptor_ ABSL_GUARDED_BY(mutex_);
};

template <typename T>
class ThreadedEventQueue<T>::Branch final : public internal::Branch {
 public:
  using Result = T;

  explicit Branch(ThreadedEventQueue& queue) : queue_(queue) {}

  bool hold() override {
    mothreads::internal::TinyLock lock(queue_.mutex_);
    if (queue_.values_.is_empty()) return queue_.closed_;
    queue_.take_front(waiter_.got);
    return true;
  }
  bool link(mothreads::internal::Wait& wait) override {
    wait.context().open_wait();
    waiter_.arm(wait, mothreads::Why::ready);
    mothreads::internal::TinyLock lock(queue_.mutex_);
    if (!queue_.values_.is_empty() || queue_.closed_) return false;
    queue_.waiters_.push_back(waiter_);
    return true;
  }
  void unlink() noexcept override {
    if (waiter_.has_won()) return;  // then it is off the list, and the queue may be gone
    mothreads::internal::TinyLock lock(queue_.mutex_);
    queue_.waiters_.remove(waiter_);
  }
  bool has_won() const noexcept override { return waiter_.has_won(); }
  void throw_failure() override {
    if (!waiter_.got) throw Closed(name(), kClosed);
  }
  void put_back() override {
    mothreads::internal::WaitNode* waiter = nullptr;
    {
      mothreads::internal::TinyLock lock(queue_.mutex_);
      waiter = queue_.waiters_.claim_front();
      if (waiter == nullptr) {
        queue_.values_.push_front(*std::move(waiter_.got));
        queue_.descriptor_.set(true);
      } else {
        static_cast<Waiter*>(waiter)->got.emplace(*std::move(waiter_.got));
      }
    }
    if (waiter != nullptr) waiter->finish(mothreads::Why::ready);
  }
  std::string name() const override { return label_.object(kObject); }
  T take() {
    throw_failure();
    return *std::move(waiter_.got);
  }

 private:
  ThreadedEventQueue& queue_;
  const internal::Label label_ = queue_.label_;  // for when the queue is gone
  Waiter waiter_;
};

}  // namespace cooperative
