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
// and the value with the caller; who comes later need not wait until a thread whose limit has come goes on. A value of another type
// than T is converted when it is taken; where that may throw, before.
//
// Whoever learns from close(), add() or pop() of another thread what it waited for may destroy the queue at once.
//
// Producers and consumers meet only when the queue is empty or full: each side has a small mutex of its own. T must be
// movable without exceptions. Its moves and destruction, and for `unique` its hash and ==, run under such a mutex: they must not
// use the queue, nor throw. What an allocation throws leaves the queue as it was.
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
#include <utility>
#include <vector>

#include "mothreads/ended.h"
#include "mothreads/ended_early.h"
#include "mothreads/internal/base/ring.h"
#include "mothreads/internal/position_index.h"
#include "mothreads/internal/queue_core.h"
#include "mothreads/result.h"
#include "mothreads/signal.h"
#include "mothreads/until.h"

namespace mothreads::inline v0 {

struct QueueOptions {
  std::size_t max = 1024;             // so many items may wait; more with force_add() and allow_add_after_close
  bool silent = false;                // do not log that an add has been waiting for room, every 5 s
  bool unique = false;                // skip a value that is in the queue; needs a copyable T with std::hash and ==
  bool allow_add_after_close = false;  // adding to the closed queue is no error
};

// Thrown by the adds without a limit.
using QueueClosed = Closed;

template <typename T>
class Queue : private internal::QueueCore {
  static_assert(std::is_nothrow_move_constructible_v<T> && std::is_nothrow_destructible_v<T>,
                "a Queue's items must be movable without exceptions: queue a std::unique_ptr to this type instead");

 public:
  explicit Queue(std::string_view name, const QueueOptions& options = {});
  ~Queue();

  // Appends; waits for room. The forms without a limit throw QueueClosed when the queue is closed; those with one say why they
  // ended, and leave `value` untouched unless `ready`. A limit of zero does not wait. The value may be written in braces.
  template <typename U = T>
    requires std::convertible_to<U, T>
  void add(U&& value) {
    must_be_ready(insert(AddAt::back, std::forward<U>(value), Until()));
  }
  template <typename U = T>
    requires std::convertible_to<U, T>
  Ended add(U&& value, const Until& until) {
    return insert(AddAt::back, std::forward<U>(value), until);
  }

  // The same at the front.
  template <typename U = T>
    requires std::convertible_to<U, T>
  void push(U&& value) {
    must_be_ready(insert(AddAt::front, std::forward<U>(value), Until()));
  }
  template <typename U = T>
    requires std::convertible_to<U, T>
  Ended push(U&& value, const Until& until) {
    return insert(AddAt::front, std::forward<U>(value), until);
  }

  // Adds each, waiting for room where needed: never more than max. Other threads may add between two of them.
  template <typename Range>
  void extend(Range&& values) {
    for (auto&& value : values) add(forward_element<Range>(value));
  }

  // Puts all to the front so that the first of them is popped first, waiting for room where needed. Throws Misuse for more
  // than max. Those that are not in the queue when it throws are still in `values`.
  void push_all(std::vector<T>&& values);
  void push_all(const std::vector<T>& values) { push_all(std::vector<T>(values)); }

  // Appends without regard to max and to close(); never waits.
  template <typename U = T>
    requires std::convertible_to<U, T>
  void force_add(U&& value) {
    static_cast<void>(insert(AddAt::forced, std::forward<U>(value), absl::ZeroDuration()));
  }

  // Takes the first; waits for one. `closed` when it is closed and empty.
  Result<T> pop(const Until& until = {});
  // Takes the first, without waiting: `timed_out` when there is none.
  Result<T> pop_one() { return pop(absl::ZeroDuration()); }
  // Takes all there are, without waiting.
  std::vector<T> pop_all();

  // Ends the adding: waiting adds and, once it is empty, waiting pops end `closed`. A second call does nothing.
  void close();
  const Signal& closed() const { return closed_signal(); }

  // Blocks until it is closed and all items have been popped.
  void join() const { drained_signal().wait(); }
  Ended join(const Until& until) const { return drained_signal().wait(until); }

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

  class OneOfSeveral;  // for wait_for_any() (cooperative/wait_for.h)

 private:
  // What an item is made of, without an exception.
  struct Source {
    template <typename U>
    static Source of(std::remove_reference_t<U>& its_value) {
      using V = std::remove_reference_t<U>;
      Source source;
      source.value = const_cast<void*>(static_cast<const void*>(std::addressof(its_value)));
      source.put = [](internal::Ring<T>& ring, std::uint64_t position, void* from) noexcept {
        ring.put(position, std::forward<U>(*static_cast<V*>(from)));
      };
      if constexpr (std::is_same_v<std::remove_const_t<V>, T>) source.item = std::addressof(its_value);
      return source;
    }
    void* value = nullptr;
    void (*put)(internal::Ring<T>& ring, std::uint64_t position, void* from) noexcept = nullptr;
    const T* item = nullptr;  // when it is one already, as always for `unique`
  };
  struct Producer : internal::WaitNode {
    explicit Producer(const Source& its_source, AddAt its_place) : source(its_source), place(its_place) {}
    const Source source;
    const AddAt place;
  };
  struct Consumer : internal::WaitNode {
    Result<T>* into = nullptr;
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
  Ended insert(AddAt place, U&& value, const Until& until);
  template <typename U>
  [[gnu::cold, gnu::noinline]] Ended insert_watched(AddAt place, U&& value, const Until& until);
  const internal::QueueCore* core() const noexcept { return this; }
  // What one side can say by itself, under its own mutex.
  enum class Quick : std::uint8_t { done, blocked, ask_both };
  template <typename U>
  Quick try_add_quickly(U&& value) noexcept;
  template <typename U>
  Ended insert_unfailing(AddAt place, U&& value, const Until& until);
  Ended insert_slowly(AddAt place, const Source& source, const Until& until);
  Quick try_pop_quickly(Result<T>& result) noexcept;
  void pop_slowly(Result<T>& result, const Until& until);

  // The rest with both mutexes held.
  std::optional<Why> try_insert_locked(AddAt place, const Source& source, internal::Claimed& woken);
  bool try_pop_locked(Result<T>& result, Afterwards& afterwards) noexcept;
  bool has_room() const { return positions_in_use() < max(); }
  // Throw std::bad_alloc, changing nothing.
  void reserve_one() { reserve(positions_in_use() + 1); }
  void reserve(std::size_t items);
  void put_locked(AddAt place, const Source& source) noexcept;
  T take_locked() noexcept;
  void shrink_if_sparse() noexcept;
  bool holds(const T& value) const noexcept;
  // Moves items from waiting adds into the queue and from the queue to waiting pops, as far as both go.
  void settle(internal::Claimed& woken) noexcept;

  internal::Ring<T> ring_;  // changed under both mutexes, so that either is enough to use it

  static constexpr bool kCanBeUnique = requires(const T& value) {
    { std::hash<T>{}(value) } -> std::convertible_to<std::size_t>;
    { value == value } -> std::convertible_to<bool>;
    T(value);
  };
  std::unique_ptr<internal::PositionIndex> index_;  // of the items, for `unique`
};

}  // namespace mothreads

#include "mothreads/internal/queue_impl.h"
