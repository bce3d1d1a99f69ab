#pragma once

// Values between the fibers of one scheduler, in order. Used on its thread alone: between threads use ThreadedEventQueue or
// mothreads::Queue.

#include <cstddef>
#include <deque>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "cooperative/errors.h"
#include "cooperative/internal/branch.h"
#include "cooperative/internal/home.h"
#include "mothreads/ended.h"
#include "mothreads/misuse.h"
#include "mothreads/until.h"

namespace cooperative {

template <typename T>
class EventQueue {
 public:
  static constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();

  // So many values may wait in it. Those that a wait_for_all() gives back come to their places in front also when others have filled
  // the queue meanwhile: nothing is lost, and it is full until as many more have been taken.
  explicit EventQueue(std::size_t max_length = kUnlimited) : max_length_(max_length) {}
  ~EventQueue() { internal::check_nobody_waits(waiters_, kName); }
  EventQueue(const EventQueue&) = delete;
  EventQueue& operator=(const EventQueue&) = delete;

  // Adds a value, or hands it to the first who waits; never waits. False when the queue is full: then nothing has happened. Throws
  // mothreads::Misuse on a closed queue.
  template <typename V = T>
    requires std::is_constructible_v<T, V&&>
  bool signal(V&& value) {
    home_.check(kName);
    if (closed_) throw mothreads::Misuse("Can't write to a closed queue: an EventQueue takes no values after close()");
    if (!waiters_.is_empty()) return hand_over(T(std::forward<V>(value)));
    if (values_.size() >= max_length_) return false;
    values_.emplace_back(std::forward<V>(value));
    return true;
  }

  // The oldest value; waits for one if there is none. When the limit comes first throws Timedout; Closed when none can come.
  T wait(const mothreads::Until& until = {}) {
    mothreads::Why why = mothreads::Why::ready;
    if (std::optional<T> value = next(until, why)) return *std::move(value);
    if (why == mothreads::Why::closed) throw Closed("the queue is closed, and empty");
    internal::throw_timed_out("event queue", why);
  }

  // The same, for loops: nothing when the queue is closed and empty, or the limit came first.
  std::optional<T> next(const mothreads::Until& until = {}) {
    mothreads::Why why = mothreads::Why::ready;
    return next(until, why);
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
      value_ = queue_->next();
      if (!value_) queue_ = nullptr;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return queue_ != other.queue_; }

   private:
    EventQueue* queue_;
    std::optional<T> value_;
  };
  Iterator begin() { return Iterator(this); }
  Iterator end() { return Iterator(nullptr); }

  class Branch;  // for wait_any() and wait_for_all()

 private:
  static constexpr const char* kName = "an EventQueue";

  struct Waiter : mothreads::internal::WaitNode {
    using WaitNode::WaitNode;
    std::optional<T> got;
  };

  // To the first who waits; false when nobody could be given it, and then it is still the caller's. A move that throws does so before
  // anybody is claimed.
  bool hand_to_waiter(T& value) {
    for (auto* node = waiters_.front(); node != nullptr; node = waiters_.after(*node)) {
      auto& waiter = static_cast<Waiter&>(*node);
      waiter.got.emplace(std::move(value));
      if (waiters_.claim_on_host(waiter)) {
        home_.core().end_wait(waiter, mothreads::Why::ready);
        return true;
      }
      value = *std::move(waiter.got);
      waiter.got.reset();
    }
    return false;
  }

  bool hand_over(T&& value) {
    if (hand_to_waiter(value)) return true;
    if (values_.size() >= max_length_) return false;
    values_.push_back(std::move(value));
    return true;
  }

  std::optional<T> take_front() {
    std::optional<T> value(std::move(values_.front()));
    values_.pop_front();
    return value;
  }

  std::optional<T> next(const mothreads::Until& until, mothreads::Why& why) {
    home_.check(kName);
    if (!values_.empty() || closed_) home_.core().spend_act();  // any other wait begins a new turn
    if (!values_.empty()) return take_front();
    if (closed_) {
      why = mothreads::Why::closed;
      return std::nullopt;
    }
    Waiter waiter;
    why = home_.core().wait(waiters_, waiter, "waits for a value of an EventQueue", until);
    if (why != mothreads::Why::ready) return std::nullopt;
    return std::optional<T>(*std::move(waiter.got));
  }

  internal::Home home_;
  const std::size_t max_length_;
  bool closed_ = false;
  std::deque<T> values_;
  mothreads::internal::WaitList waiters_;
};

template <typename T>
class EventQueue<T>::Branch final : public internal::Branch {
 public:
  using Result = T;

  explicit Branch(EventQueue& queue) : queue_(queue) { queue.home_.check(kName); }

  bool hold() override {
    if (queue_.values_.empty()) return queue_.closed_;
    waiter_.got = queue_.take_front();
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
    if (!waiter_.got) throw Closed("the queue is closed, and empty");
  }
  // Also into one that is full by now: see the constructor.
  void put_back() override {
    if (!queue_.hand_to_waiter(*waiter_.got)) queue_.values_.push_front(*std::move(waiter_.got));
  }
  std::string name() const override { return "event queue"; }
  T take() {
    throw_failure();
    return *std::move(waiter_.got);
  }

 private:
  EventQueue& queue_;
  Waiter waiter_;
};

}  // namespace cooperative
