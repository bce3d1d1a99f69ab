#pragma once

// Values between the fibers of one scheduler, in order. Used on its thread alone: between threads use ThreadedEventQueue or
// mothreads::Queue.

#include <cstddef>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "cooperative/errors.h"
#include "cooperative/internal/wait/branch.h"
#include "cooperative/internal/wait/home.h"
#include "cooperative/internal/wait/label.h"
#include "mothreads/ended.h"
#include "mothreads/internal/base/ring.h"
#include "mothreads/posted.h"
#include "mothreads/result.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {

template <typename T>
class EventQueue {
 public:
  static constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();

  // So many values may wait in it; a name is for reports. Those that a wait_for_all() gives back come to their places in front also when others have filled
  // the queue meanwhile: nothing is lost, and it is full until as many more have been taken.
  explicit EventQueue(std::size_t max_length = kUnlimited) : max_length_(max_length) {}
  explicit EventQueue(std::string_view name, std::size_t max_length = kUnlimited) : max_length_(max_length), label_(kName, name) {}
  ~EventQueue() { internal::check_nobody_waits(waiters_, kName, label_); }
  EventQueue(const EventQueue&) = delete;
  EventQueue& operator=(const EventQueue&) = delete;

  // Adds a value, or hands it to the first who waits; never waits. When the queue is `full` or `closed` nothing has happened, and the
  // value is untouched. What a constructor of T throws is thrown here, and leaves the queue as it was.
  template <typename V = T>
    requires std::is_constructible_v<T, V&&>
  mothreads::Posted signal(V&& value) {
    home_.check(kName);
    if (closed_) [[unlikely]] return mothreads::Why::closed;
    if (!waiters_.is_empty()) return signal_to_waiter(std::forward<V>(value));
    if (values_.size() >= max_length_) return mothreads::Why::full;
    values_.push_back(std::forward<V>(value));
    return mothreads::Why::ready;
  }

  // The oldest value; waits for one if there is none. When the limit comes first throws Timedout; Closed when none can come.
  COOPERATIVE_INLINED T wait() {
    begin_wait();
    return values_.is_empty() ? wait_for_next() : take_front();
  }
  COOPERATIVE_INLINED T wait(const mothreads::Until& until) {
    begin_wait();
    return values_.is_empty() ? wait_for_next(until) : take_front();
  }

  // wait() for loops: the Result has no value when the queue is closed and empty, or the limit came first.
  mothreads::Result<T> next(const mothreads::Until& until = {}) {
    begin_wait();
    if (!values_.is_empty()) return mothreads::Result<T>(std::in_place, take_front());
    if (closed_) return {mothreads::Why::closed, label_.object(kObject)};
    Waiter waiter;
    if (const mothreads::Why why = wait_in(waiter, until); why != mothreads::Why::ready) return {why, label_.object(kObject)};
    return mothreads::Result<T>(std::in_place, *std::move(waiter.got));
  }

  // No more values: those that are in it can still be taken. Wakes all who wait. Once more changes nothing.
  void close() {
    home_.check(kName);
    closed_ = true;
    while (auto* waiter = waiters_.claim_front_on_host()) home_.core().end_wait(*waiter, mothreads::Why::closed);
  }
  bool is_closed() const {
    home_.check(kName);
    return closed_;
  }

  // Forgets the values in it; does not open it again.
  void reset() {
    home_.check(kName);
    values_.clear();
  }

  std::size_t size() const {
    home_.check(kName);
    return values_.size();
  }
  bool empty() const { return size() == 0; }

  // for (T& value : queue) waits for each, and ends when the queue is closed and empty.
  class Iterator {
   public:
    explicit Iterator(EventQueue* queue) : queue_(queue) {
      if (queue_ != nullptr) ++*this;
    }
    T& operator*() { return *value_; }
    Iterator& operator++() {
      value_ = mothreads::Why::closed;  // the last one is gone before this waits
      value_ = queue_->next();
      if (!value_) queue_ = nullptr;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return queue_ != other.queue_; }

   private:
    EventQueue* queue_;
    mothreads::Result<T> value_ = mothreads::Why::closed;
  };
  Iterator begin() { return Iterator(this); }
  Iterator end() { return Iterator(nullptr); }

  class Branch;  // for wait_for_any() and wait_for_all()

 private:
  static constexpr const char* kName = "an EventQueue";
  static constexpr const char* kObject = "event queue";

  struct Waiter : mothreads::internal::WaitNode {
    using WaitNode::WaitNode;
    std::optional<T> got;
  };

  // While somebody is in the list; that may be fibers alone whose wait is over.
  template <typename V>
  mothreads::Posted signal_to_waiter(V&& value) {
    if constexpr (std::is_nothrow_constructible_v<T, V>) {
      if (auto* waiter = static_cast<Waiter*>(waiters_.claim_front_on_host())) {
        waiter->got.emplace(std::forward<V>(value));
        home_.core().end_wait(*waiter, mothreads::Why::ready);
        return mothreads::Why::ready;
      }
      if (values_.size() >= max_length_) return mothreads::Why::full;
      values_.push_back(std::forward<V>(value));
    } else {
      if (values_.size() >= max_length_ && !can_hand_over()) return mothreads::Why::full;
      std::optional<T> made(std::in_place, std::forward<V>(value));
      // Should another thread have ended the last wait meanwhile, the queue has one more than its maximum, rather than lose it.
      if (!hand_to_waiter(made)) values_.push_back(*std::move(made));
    }
    return mothreads::Why::ready;
  }

  bool can_hand_over() const noexcept {
    for (auto* node = waiters_.front(); node != nullptr; node = waiters_.after(*node)) {
      if (node->is_claimable()) return true;
    }
    return false;
  }

  // To the first who waits; false when nobody could be given it, and then it is still the caller's. A move that throws does so before
  // anybody is claimed.
  bool hand_to_waiter(std::optional<T>& value) {
    for (auto* node = waiters_.front(); node != nullptr; node = waiters_.after(*node)) {
      auto& waiter = static_cast<Waiter&>(*node);
      waiter.got.emplace(*std::move(value));
      if (waiters_.claim_on_host(waiter)) {
        home_.core().end_wait(waiter, mothreads::Why::ready);
        return true;
      }
      value.emplace(*std::move(waiter.got));
      waiter.got.reset();
    }
    return false;
  }

  // A move that throws leaves the value in its place.
  T take_front() {
    T value(std::move(values_.front()));
    values_.drop_front();
    return value;
  }

  COOPERATIVE_INLINED void begin_wait() {
    home_.check(kName);
    if (!values_.is_empty() || closed_) home_.core().spend_act();  // any other wait begins a new turn
  }
  template <typename... Limit>
  COOPERATIVE_INLINED mothreads::Why wait_in(Waiter& waiter, const Limit&... until) {
    return home_.core().wait(waiters_, waiter, label_.waits("waits for a value of EventQueue"), until...);
  }
  template <typename... Limit>
  COOPERATIVE_INLINED T wait_for_next(const Limit&... until) {
    if (closed_) [[unlikely]] throw_closed();
    Waiter waiter;
    if (const mothreads::Why why = wait_in(waiter, until...); why != mothreads::Why::ready) [[unlikely]] throw_ended(why);
    return *std::move(waiter.got);
  }

  [[noreturn, gnu::cold, gnu::noinline]] void throw_closed() const { throw Closed(label_.object(kObject), "the queue is closed, and empty"); }
  [[noreturn, gnu::cold, gnu::noinline]] void throw_ended(mothreads::Why why) const {
    if (why == mothreads::Why::closed) throw_closed();
    internal::throw_wait_ended(label_, kObject, why);
  }

  internal::Home home_;
  const std::size_t max_length_;
  bool closed_ = false;
  const internal::Label label_{};  // in the room behind closed_: what each call needs stays in one line of the cache
  mothreads::internal::RingQueue<T> values_;
  mothreads::internal::WaitList waiters_;
};

template <typename T>
class EventQueue<T>::Branch final : public internal::Branch {
 public:
  using Result = T;

  explicit Branch(EventQueue& queue) : queue_(queue) { queue.home_.check(kName); }

  bool hold() override {
    if (queue_.values_.is_empty()) return queue_.closed_;
    waiter_.got.emplace(queue_.take_front());
    return true;
  }
  bool link(mothreads::internal::Wait& wait) override {
    waiter_.arm(wait, mothreads::Why::ready);
    queue_.waiters_.push_back(waiter_);
    return true;
  }
  void unlink() noexcept override { queue_.waiters_.remove(waiter_); }
  bool has_won() const noexcept override { return waiter_.has_won(); }
  void throw_failure() override {
    if (!waiter_.got) queue_.throw_closed();
  }
  // Also into one that is full by now: see the constructor.
  void put_back() override {
    if (!queue_.hand_to_waiter(waiter_.got)) queue_.values_.push_front(*std::move(waiter_.got));
  }
  std::string name() const override { return queue_.label_.object(kObject); }
  T take() {
    throw_failure();
    return *std::move(waiter_.got);
  }

 private:
  EventQueue& queue_;
  Waiter waiter_;
};

}  // namespace cooperative
