#pragma once

// The members of Queue<T>; see queue.h for what they do and queue_core.h for how it is guarded.

#include <algorithm>
#include <new>

#include "absl/cleanup/cleanup.h"
#include "mothreads/internal/base/access.h"
#include "mothreads/queue.h"

namespace mothreads::inline v0 {

template <typename T>
Queue<T>::Queue(std::string_view name, const QueueOptions& options) : QueueCore(name, options) {
  if (!unique_) return;
  if constexpr (kCanBeUnique) {
    index_ = std::make_unique<internal::PositionIndex>();
  } else {
    fail_not_hashable();
  }
}

template <typename T>
Queue<T>::~Queue() {
  const std::uint64_t end = pushed_.load(std::memory_order_acquire);
  for (std::uint64_t position = popped_.load(std::memory_order_acquire); position != end; ++position) ring_.drop(position);
}

// --- adding --------------------------------------------------------------------------------------------------------------

template <typename T>
template <typename U>
Ended Queue<T>::insert(AddAt place, U&& value, const Until& until) {
  using internal::Context;
  if (place != AddAt::forced) {
    if (Context::spend_act("adds to Queue", core(), write_queue_name)) [[unlikely]] return insert_watched(place, std::forward<U>(value), until);
  } else if (Context::watch(internal::Step::before, "adds to Queue", core(), write_queue_name)) [[unlikely]] {
    return insert_watched(place, std::forward<U>(value), until);
  }
  if constexpr (std::is_same_v<U, T>) {
    return insert_unfailing(place, std::move(value), until);
  } else {
    if constexpr (std::is_nothrow_constructible_v<T, U> && !std::is_function_v<std::remove_reference_t<U>>) {
      if (!unique_) return insert_unfailing(place, std::forward<U>(value), until);
    }
    T converted(std::forward<U>(value));
    return insert_unfailing(place, std::move(converted), until);
  }
}

// In a test world, where speed is nothing: others may run also right after it.
template <typename T>
template <typename U>
Ended Queue<T>::insert_watched(AddAt place, U&& value, const Until& until) {
  const absl::Cleanup done = [] { internal::Context::watch(internal::Step::after); };
  if constexpr (std::is_same_v<U, T>) {
    return insert_slowly(place, Source::template of<U>(value), until);
  } else {
    if constexpr (std::is_nothrow_constructible_v<T, U> && !std::is_function_v<std::remove_reference_t<U>>) {
      if (!unique_) return insert_slowly(place, Source::template of<U>(value), until);
    }
    T converted(std::forward<U>(value));
    return insert_slowly(place, Source::template of<T>(converted), until);
  }
}

template <typename T>
template <typename U>
Ended Queue<T>::insert_unfailing(AddAt place, U&& value, const Until& until) {
  if (place == AddAt::back) {
    Quick quick = try_add_quickly(std::forward<U>(value));
    if (quick == Quick::blocked && !until.has_come() && spin_for_room()) quick = try_add_quickly(std::forward<U>(value));
    if (quick == Quick::done) return Why::ready;
  }
  return insert_slowly(place, Source::template of<U>(value), until);
}

template <typename T>
template <typename U>
auto Queue<T>::try_add_quickly(U&& value) noexcept -> Quick {
  internal::TinyLock lock(producers_mutex_);
  if (!adds_quickly_) return Quick::ask_both;
  const std::uint64_t end = pushed_.load(std::memory_order_relaxed);  // only changed under this mutex
  const std::uint64_t room = room_;
  if (end - popped_seen_ >= room) {
    popped_seen_ = popped_.load(std::memory_order_acquire);  // pairs with the release in try_pop_quickly(): the slot is free
    if (end - popped_seen_ >= room) return room < max_ ? Quick::ask_both : Quick::blocked;
  }
  ring_.put(end, std::forward<U>(value));
  pushed_.store(end + 1, std::memory_order_release);  // pairs with the acquire in try_pop_quickly(): the item is there
  return Quick::done;
}

// Nothing when there is no room. What it throws leaves all as it was, but for those that it has woken.
template <typename T>
std::optional<Why> Queue<T>::try_insert_locked(AddAt place, const Source& source, internal::Claimed& woken) {
  if (is_closed() && place != AddAt::forced && !allow_add_after_close_) return Why::closed;
  settle(woken);  // then nobody waits for the room that there is
  if (unique_ && holds(*source.item)) return Why::ready;
  const bool may_exceed = place == AddAt::forced || is_closed();
  if (!may_exceed && !has_room()) return std::nullopt;
  reserve_one();
  put_locked(place, source);
  settle(woken);
  return Why::ready;
}

template <typename T>
Ended Queue<T>::insert_slowly(AddAt place, const Source& source, const Until& until) {
  Afterwards afterwards;
  {
    Both both(*this);
    if (const auto why = try_insert_locked(place, source, afterwards.woken)) return *why;
  }
  afterwards.run();
  if (const auto why = until.has_come()) return *why;

  const internal::SharedName name = name_;  // for when the queue is gone
  internal::Wait wait(describe_add(name), internal::Wait::Spin::no);
  Producer node(source, place);
  node.arm(wait, Why::ready);
  {
    Both both(*this);
    if (const auto why = try_insert_locked(place, source, afterwards.woken)) return *why;
    producers_.push_back(node);
  }
  afterwards.run();
  bool was_woken = false;
  absl::Cleanup leave = [&] {
    if (was_woken) return;  // then it is off the list, and the queue may be gone
    Both both(*this);
    producers_.remove(node);
  };
  const Why why = park_producer(wait, Limit(until));
  was_woken = why == Why::ready || why == Why::closed;
  return why;
}

// --- taking --------------------------------------------------------------------------------------------------------------

template <typename T>
Result<T> Queue<T>::pop(const Until& until) {
  internal::Context::spend_act("pops from Queue", core(), write_queue_name);
  Result<T> result = Why::timed_out;
  Quick quick = try_pop_quickly(result);
  if (quick == Quick::blocked && !until.has_come() && spin_for_item()) quick = try_pop_quickly(result);
  if (quick != Quick::done) pop_slowly(result, until);
  return result;
}

template <typename T>
auto Queue<T>::try_pop_quickly(Result<T>& result) noexcept -> Quick {
  internal::TinyLock lock(consumers_mutex_);
  if (!pops_quickly_) return Quick::ask_both;
  const std::uint64_t begin = popped_.load(std::memory_order_relaxed);  // only changed under this mutex
  if (begin >= pushed_seen_) {  // greater after takes that held both mutexes
    pushed_seen_ = pushed_.load(std::memory_order_acquire);  // pairs with the release in try_add_quickly(): the item is there
    if (ring_.is_sparse(pushed_seen_ - begin)) return Quick::ask_both;
    if (begin >= pushed_seen_) return Quick::blocked;
  }
  result.emplace(ring_.take(begin));
  popped_.store(begin + 1, std::memory_order_release);  // pairs with the acquire in try_add_quickly(): the slot is free
  return Quick::done;
}

// False when there is nothing to say yet.
template <typename T>
bool Queue<T>::try_pop_locked(Result<T>& result, Afterwards& afterwards) noexcept {
  settle(afterwards.woken);
  const bool has_item = positions_in_use() > 0;
  if (has_item) {
    result.emplace(take_locked());
    settle(afterwards.woken);
    afterwards.drained = drained_now();
  } else if (is_closed()) {
    result = Result<T>(Why::closed, name_, internal::kAccess);
  }
  shrink_if_sparse();
  return has_item || is_closed();
}

template <typename T>
void Queue<T>::pop_slowly(Result<T>& result, const Until& until) {
  Afterwards afterwards;
  {
    Both both(*this);
    if (try_pop_locked(result, afterwards)) return;
  }
  afterwards.run();
  if (const auto why = until.has_come()) {
    result = Result<T>(*why, name_, internal::kAccess);
    return;
  }

  const internal::SharedName name = name_;  // for when the queue is gone
  internal::Wait wait(describe_pop(name), internal::Wait::Spin::no);
  Consumer node;
  node.into = &result;
  node.arm(wait, Why::ready);
  {
    Both both(*this);
    if (try_pop_locked(result, afterwards)) return;
    consumers_.push_back(node);
  }
  afterwards.run();
  bool was_woken = false;
  absl::Cleanup leave = [&] {
    if (was_woken) return;  // as in insert_slowly()
    Both both(*this);
    consumers_.remove(node);
  };
  const Why why = wait.park(Limit(until));
  was_woken = why == Why::ready || why == Why::closed;
  if (why != Why::ready) result = Result<T>(why, name, internal::kAccess);
}

template <typename T>
std::vector<T> Queue<T>::pop_all() {
  internal::Context::watch(internal::Step::before, "pops all from Queue", core(), write_queue_name);
  std::vector<T> items;
  Afterwards afterwards;
  Both both(*this);
  items.reserve(positions_in_use());
  while (positions_in_use() > 0 && items.size() < items.capacity()) items.push_back(take_locked());
  settle(afterwards.woken);
  shrink_if_sparse();
  afterwards.drained = drained_now();
  return items;
}

// --- both mutexes held ---------------------------------------------------------------------------------------------------

template <typename T>
void Queue<T>::reserve(std::size_t items) {
  if constexpr (kCanBeUnique) {
    if (unique_) index_->reserve(items);
  }
  // Doubles with its use, so that a large max costs nothing until it is needed.
  ring_.reserve(items, popped_.load(std::memory_order_relaxed), pushed_.load(std::memory_order_relaxed));
  room_ = std::min<std::uint64_t>(max_, ring_.capacity());
}

template <typename T>
void Queue<T>::shrink_if_sparse() noexcept {
  if (!ring_.is_sparse(positions_in_use())) return;
  ring_.shrink(popped_.load(std::memory_order_relaxed), pushed_.load(std::memory_order_relaxed));
  room_ = std::min<std::uint64_t>(max_, ring_.capacity());
}

template <typename T>
void Queue<T>::put_locked(AddAt place, const Source& source) noexcept {
  std::uint64_t position = pushed_.load(std::memory_order_relaxed);
  if (place == AddAt::front) position = popped_.load(std::memory_order_relaxed) - 1;
  source.put(ring_, position, source.value);
  if constexpr (kCanBeUnique) {
    if (unique_) index_->insert(std::hash<T>{}(std::as_const(ring_[position])), position);
  }
  if (place == AddAt::front) {
    popped_.store(position, std::memory_order_release);  // both stores pair with the acquire in size_now()
    popped_seen_ = position;
  } else {
    pushed_.store(position + 1, std::memory_order_release);
  }
}

template <typename T>
T Queue<T>::take_locked() noexcept {
  const std::uint64_t position = popped_.load(std::memory_order_relaxed);
  if constexpr (kCanBeUnique) {
    if (unique_) index_->erase(std::hash<T>{}(std::as_const(ring_[position])), position);
  }
  T value = ring_.take(position);
  popped_.store(position + 1, std::memory_order_release);  // pairs with the acquire in size_now()
  return value;
}

template <typename T>
bool Queue<T>::holds(const T& value) const noexcept {
  if constexpr (kCanBeUnique) {
    return index_->contains(std::hash<T>{}(value), [&](std::uint64_t position) { return std::as_const(ring_[position]) == value; });
  } else {
    return false;
  }
}

// Allocates nothing, but where a ring without memory has to grow; then the next call does it.
template <typename T>
void Queue<T>::settle(internal::Claimed& woken) noexcept {
  bool moved = true;
  while (moved) {
    moved = false;
    // Closed, with adds that still wait: they are allowed, and then max no longer counts. There is room for them: see close().
    for (auto* node = producers_.front(); node != nullptr && (has_room() || is_closed());) {
      auto* producer = static_cast<Producer*>(node);
      node = producers_.after(*producer);
      if (positions_in_use() == ring_.capacity()) break;
      if (!producer->claim()) continue;  // its limit has come: it goes, with its value, when its thread runs
      producers_.remove(*producer);
      if (!unique_ || !holds(*producer->source.item)) put_locked(producer->place, producer->source);
      woken.add(*producer);
      moved = true;
    }
    while (positions_in_use() > 0 && !consumers_.is_empty()) {
      auto* consumer = static_cast<Consumer*>(consumers_.claim_front());
      if (consumer == nullptr) break;
      consumer->into->emplace(take_locked());
      woken.add(*consumer);
      moved = true;
    }
  }
}

// A pop that is one of several things that one wait waits for.
template <typename T>
class Queue<T>::OneOfSeveral {
 public:
  OneOfSeveral(Queue& queue, internal::Access) : queue_(queue), result_(Why::closed, queue.name_, internal::kAccess) { node_.into = &result_; }
  OneOfSeveral(const OneOfSeveral&) = delete;
  OneOfSeveral& operator=(const OneOfSeveral&) = delete;

  // Takes an item, or that the queue is closed and empty; false when there is neither.
  bool try_pop();
  // Lets an item, and close(), end the wait. False when there is something already.
  bool link(internal::Wait& wait);
  // Once the wait is over. One that the queue has ended is off its list, and the queue may be gone.
  void unlink() noexcept {
    if (node_.has_won()) return;
    Both both(queue_);
    queue_.consumers_.remove(node_);
  }
  // Once the wait is over: whether it is this that ended it.
  bool has_won() const noexcept { return node_.has_won(); }

  std::string_view name() const { return name_.view(); }
  Result<T>& result() noexcept { return result_; }

 private:
  Queue& queue_;
  const internal::SharedName name_ = queue_.name_;  // for when the queue is gone
  Result<T> result_;
  Consumer node_;
};

template <typename T>
bool Queue<T>::OneOfSeveral::try_pop() {
  internal::Context::watch(internal::Step::before, "pops from Queue", queue_.core(), write_queue_name);
  const Quick quick = queue_.try_pop_quickly(result_);
  if (quick != Quick::ask_both) return quick == Quick::done;
  Afterwards afterwards;
  Both both(queue_);
  return queue_.try_pop_locked(result_, afterwards);
}

template <typename T>
bool Queue<T>::OneOfSeveral::link(internal::Wait& wait) {
  wait.context().open_wait();
  node_.arm(wait, Why::ready);
  Afterwards afterwards;
  Both both(queue_);
  queue_.settle(afterwards.woken);
  if (queue_.positions_in_use() > 0 || queue_.is_closed()) return false;
  queue_.consumers_.push_back(node_);
  return true;
}

// --- the rest ------------------------------------------------------------------------------------------------------------

template <typename T>
void Queue<T>::push_all(std::vector<T>&& values) {
  if (values.size() > max_) fail_too_many(values.size());
  for (; !values.empty(); values.pop_back()) push(std::move(values.back()));
}

template <typename T>
class Queue<T>::Iterator {
 public:
  using value_type = T;
  using difference_type = std::ptrdiff_t;

  Iterator(Queue* queue, Signal until) : queue_(queue), until_(std::move(until)), item_(queue->pop(until_)) {}

  T& operator*() const { return *item_; }
  T* operator->() const { return item_.operator->(); }
  Iterator& operator++() {
    item_ = Why::closed;  // the last one is gone before this waits
    item_ = queue_->pop(until_);
    return *this;
  }
  void operator++(int) { ++*this; }
  bool operator==(std::default_sentinel_t) const { return !item_; }

 private:
  Queue* queue_;
  Signal until_;
  mutable Result<T> item_;
};

template <typename T>
class Queue<T>::Range {
 public:
  Range(Queue* queue, Signal until) : queue_(queue), until_(std::move(until)) {}
  Iterator begin() const { return Iterator(queue_, until_); }
  std::default_sentinel_t end() const { return {}; }

 private:
  Queue* queue_;
  Signal until_;
};

template <typename T>
void Queue<T>::close() {
  const bool is_watched = internal::Context::watch(internal::Step::before, "closes Queue", core(), write_queue_name);
  internal::Claimed producers;
  internal::Claimed consumers;
  Signal closed = NEVER;
  Afterwards afterwards;
  {
    Both both(*this);
    if (is_closed()) return;
    if (allow_add_after_close_) {
      std::size_t items = positions_in_use();
      for (auto* node = producers_.front(); node != nullptr; node = producers_.after(*node)) ++items;
      reserve(items);  // the only thing here that may throw
    }
    closed_.store(true, std::memory_order_relaxed);  // the mutexes publish it
    consumers = consumers_.take_claimed();
    if (allow_add_after_close_) {
      settle(afterwards.woken);
    } else {
      producers = producers_.take_claimed();
    }
    closed = closed_signal_;
    afterwards.drained = drained_now();
  }
  producers.finish_all(Why::closed);
  consumers.finish_all(Why::closed);
  closed.state(internal::kAccess).go();
  if (is_watched) internal::Context::watch(internal::Step::after);
}

}  // namespace mothreads
