#pragma once

// Hand-over between threads and fibers: first in, first out; bounded; it can be closed.
//
//     Queue<Job> todo("todo", {.max = 1000});
//     todo.add(job);                                  // waits for room
//     while (auto job = todo.pop(please_stop)) job->perform();
//     todo.close();                                   // pop() delivers what is left, then says closed
//
// An add that finds a waiting pop gives it the item directly, the one that came first; nobody overtakes it. Waiting adds are
// served in order, too. A wait that ends by its limit, by close() or by an exception leaves the queue as if it had not begun,
// and the value with the caller.
//
// Producers and consumers meet only when the queue is empty or full: each side has a small mutex of its own. T must be
// movable without exceptions. Its moves and destruction, and for `unique` its copying, hash and ==, run under such a mutex: they
// must not use the queue, nor throw.
//
// When not to use it: for one value (Thread::join), or for a state that many look at (Signal).
//
// Thread safety: every member may be called from any thread or fiber.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "mothreads/ended.h"
#include "mothreads/ended_early.h"
#include "mothreads/internal/queue_core.h"
#include "mothreads/internal/ring.h"
#include "mothreads/signal.h"
#include "mothreads/until.h"

namespace mothreads {

struct QueueOptions {
  std::size_t max = 1024;             // so many items may wait; more with force_add() and allow_add_after_close
  bool silent = false;                // do not log that an add has been waiting for room, every 5 s
  bool unique = false;                // skip a value that is in the queue; needs a copyable T with std::hash and ==
  bool allow_add_after_close = false;  // adding to the closed queue is no error
};

// Thrown by the adds without a limit.
using QueueClosed = Closed;

// What pop() gives: an item, or why there is none.
template <typename T>
class [[nodiscard]] Popped {
 public:
  explicit(false) Popped(T&& item) : item_(std::move(item)) {}
  explicit(false) Popped(Why why) : why_(why) {}

  explicit operator bool() const { return item_.has_value(); }
  Why why() const { return why_; }  // ready, closed (and empty), timed_out or stopped

  T& operator*() & { return *item_; }
  const T& operator*() const& { return *item_; }
  T&& operator*() && { return std::move(*item_); }
  T* operator->() { return &*item_; }
  const T* operator->() const { return &*item_; }

 private:
  std::optional<T> item_;
  Why why_ = Why::ready;
};

template <typename T>
class Queue : private internal::QueueCore {
  static_assert(std::is_nothrow_move_constructible_v<T> && std::is_nothrow_destructible_v<T>,
                "a Queue's items must be movable without exceptions: queue a std::unique_ptr to this type instead");

 public:
  explicit Queue(std::string_view name, const QueueOptions& options = {});
  ~Queue();

  // Appends; waits for room. The forms without a limit throw QueueClosed when the queue is closed; those with one say why they
  // ended, and leave `value` untouched unless `ready`. A limit of zero does not wait.
  template <typename U>
    requires std::convertible_to<U, T>
  void add(U&& value) {
    must_be_ready(insert(Place::back, std::forward<U>(value), Until()));
  }
  template <typename U>
    requires std::convertible_to<U, T>
  Ended add(U&& value, const Until& until) {
    return insert(Place::back, std::forward<U>(value), until);
  }

  // The same at the front.
  template <typename U>
    requires std::convertible_to<U, T>
  void push(U&& value) {
    must_be_ready(insert(Place::front, std::forward<U>(value), Until()));
  }
  template <typename U>
    requires std::convertible_to<U, T>
  Ended push(U&& value, const Until& until) {
    return insert(Place::front, std::forward<U>(value), until);
  }

  // Adds each, waiting for room where needed: never more than max. Other threads may add between two of them.
  template <typename Range>
  void extend(Range&& values) {
    for (auto&& value : values) add(forward_element<Range>(value));
  }

  // Puts all to the front so that the first of them is popped first, waiting for room where needed. Throws Misuse for more
  // than max.
  void push_all(std::vector<T> values);

  // Appends without regard to max and to close(); never waits.
  template <typename U>
    requires std::convertible_to<U, T>
  void force_add(U&& value) {
    static_cast<void>(insert(Place::forced, std::forward<U>(value), absl::ZeroDuration()));
  }

  // Takes the first; waits for one.
  Popped<T> pop(const Until& until = {});
  // Takes the first, without waiting: `timed_out` when there is none.
  Popped<T> pop_one() { return pop(absl::ZeroDuration()); }
  // Takes all there are, without waiting.
  std::vector<T> pop_all();

  // Ends the adding: waiting adds and, once it is empty, waiting pops end `closed`. A second call does nothing.
  void close();
  const Signal& closed() const { return closed_signal_; }

  // Blocks until it is closed and all items have been popped.
  void join() const { drained_.wait(); }
  Ended join(const Until& until) const { return drained_.wait(until); }

  // As of some moment during the call.
  std::size_t size() const { return size_now(); }
  bool empty() const { return size() == 0; }
  bool full() const { return size() >= max(); }

  using QueueCore::max;
  using QueueCore::name;

  // for (Job& job : todo): pops until it is closed and empty; with until(signal) also until that goes. Leaving the loop early
  // leaves the rest in the queue.
  class Iterator;
  class Range;
  Iterator begin() { return Iterator(this, NEVER); }
  std::default_sentinel_t end() const { return {}; }
  Range until(Signal signal) { return Range(this, std::move(signal)); }

 private:
  struct Producer : internal::WaitNode {
    T* value = nullptr;
    Place place = Place::back;
  };
  struct Consumer : internal::WaitNode {
    std::optional<T>* into = nullptr;
  };

  template <typename R>
  static decltype(auto) forward_element(auto& value) {
    if constexpr (std::is_lvalue_reference_v<R>) {
      return (value);
    } else {
      return std::move(value);
    }
  }

  template <typename U>
  Ended insert(Place place, U&& value, const Until& until);
  // What one side can say by itself, under its own mutex.
  enum class Quick : std::uint8_t { done, blocked, ask_both };
  Quick try_add_quickly(T& value);
  Ended insert_converted(Place place, T& value, const Until& until);
  Ended insert_slowly(Place place, T& value, const Until& until);
  Quick try_pop_quickly(std::optional<T>& item);
  Popped<T> pop_slowly(const Until& until);

  // The rest with both mutexes held.
  std::optional<Why> try_insert_locked(Place place, T& value, internal::Claimed& claimed);
  std::optional<Popped<T>> try_pop_locked(internal::Claimed& claimed);
  bool has_room() const { return positions_in_use() < max(); }
  void reserve_one();
  void put_locked(Place place, T& value) noexcept;
  T take_locked() noexcept;
  bool holds(const T& value) const noexcept;
  // Moves items from waiting adds into the queue and from the queue to waiting pops, as far as both go.
  void settle(internal::Claimed& claimed);

  internal::Ring<T> ring_;  // changed under both mutexes, so that either is enough to use it

  static constexpr bool kCanBeUnique = requires(const T& value) {
    { std::hash<T>{}(value) } -> std::convertible_to<std::size_t>;
    { value == value } -> std::convertible_to<bool>;
    T(value);
  };
  using Values = std::conditional_t<kCanBeUnique, std::unordered_set<T>, std::unordered_set<int>>;
  std::unique_ptr<Values> values_;  // those in the queue, for `unique`
};

}  // namespace mothreads

#include "mothreads/internal/queue_impl.h"
