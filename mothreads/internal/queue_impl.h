#pragma once

// The members of Queue<T>; see queue.h for what they do and queue_core.h for how it is guarded.

#include <algorithm>
#include <new>

#include "absl/cleanup/cleanup.h"
#include "mothreads/queue.h"

namespace mothreads {

template <typename T>
Queue<T>::Queue(std::string_view name, const QueueOptions& options) : QueueCore(name, options) {
  if (!unique_) return;
  if constexpr (kCanBeUnique) {
    values_ = std::make_unique<Values>();
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
Ended Queue<T>::insert(Place place, U&& value, const Until& until) {
  if (place != Place::forced) internal::Context::spend_act();
  if constexpr (std::is_same_v<U, T>) {
    return insert_converted(place, value, until);
  } else {
    T converted(std::forward<U>(value));  // the caller's value is copied, or was of another type
    return insert_converted(place, converted, until);
  }
}

template <typename T>
Ended Queue<T>::insert_converted(Place place, T& value, const Until& until) {
  if (place == Place::back) {
    Quick quick = try_add_quickly(value);
    if (quick == Quick::blocked && !until.has_come() && spin_for_room()) quick = try_add_quickly(value);
    if (quick == Quick::done) return Why::ready;
  }
  return insert_slowly(place, value, until);
}

template <typename T>
auto Queue<T>::try_add_quickly(T& value) -> Quick {
  if (unique_) return Quick::ask_both;
  internal::TinyLock lock(producers_mutex_);
  if (closed_flag_ || !consumers_.is_empty() || !producers_.is_empty()) return Quick::ask_both;
  const std::uint64_t end = pushed_.load(std::memory_order_relaxed);  // only changed under this mutex
  const std::uint64_t room = std::min<std::uint64_t>(max_, ring_.capacity());
  if (end - popped_seen_ >= room) {
    popped_seen_ = popped_.load(std::memory_order_acquire);  // pairs with the release in try_pop_quickly(): the slot is free
    if (end - popped_seen_ >= room) return room < max_ ? Quick::ask_both : Quick::blocked;
  }
  ring_.put(end, std::move(value));
  pushed_.store(end + 1, std::memory_order_release);  // pairs with the acquire in try_pop_quickly(): the item is there
  return Quick::done;
}

template <typename T>
std::optional<Why> Queue<T>::try_insert_locked(Place place, T& value, internal::Claimed& claimed) {
  if (closed_flag_ && place != Place::forced && !allow_add_after_close_) return Why::closed;
  if (unique_ && holds(value)) return Why::ready;
  const bool may_exceed = place == Place::forced || closed_flag_;
  if (!may_exceed && !(producers_.is_empty() && has_room())) return std::nullopt;
  reserve_one();
  put_locked(place, value);
  settle(claimed);
  return Why::ready;
}

template <typename T>
Ended Queue<T>::insert_slowly(Place place, T& value, const Until& until) {
  internal::Claimed claimed;
  absl::Cleanup let_go = [&] { claimed.finish_all(); };  // after the mutexes
  {
    Both both(*this);
    if (const auto why = try_insert_locked(place, value, claimed)) return *why;
  }
  if (const auto why = until.has_come()) return *why;

  internal::Wait wait(describe_add(*this), internal::Wait::Spin::no);
  Producer node;
  node.value = &value;
  node.place = place;
  node.arm(wait, Why::ready);
  {
    Both both(*this);
    if (const auto why = try_insert_locked(place, value, claimed)) return *why;
    producers_.push_back(node);
  }
  absl::Cleanup leave = [&] {
    Both both(*this);
    producers_.remove(node);
    try {
      settle(claimed);  // who came later may have room now
    } catch (const std::bad_alloc&) {
      // Nothing has been lost: the next add or pop settles it.
    }
  };
  Instant waiting_since{};
  Why why = Why::ready;
  while (!park_producer(wait, until, waiting_since, why)) {
    {
      Both both(*this);
      if (!node.is_linked()) return Why::closed;
      wait.restart();
      node.arm(wait, Why::ready);
      settle(claimed);
    }
    claimed.finish_all();
  }
  return why;
}

// --- taking --------------------------------------------------------------------------------------------------------------

template <typename T>
Popped<T> Queue<T>::pop(const Until& until) {
  internal::Context::spend_act();
  std::optional<T> item;
  Quick quick = try_pop_quickly(item);
  if (quick == Quick::blocked && !until.has_come() && spin_for_item()) quick = try_pop_quickly(item);
  if (quick == Quick::done) return std::move(*item);
  return pop_slowly(until);
}

template <typename T>
auto Queue<T>::try_pop_quickly(std::optional<T>& item) -> Quick {
  if (unique_) return Quick::ask_both;
  bool was_last = false;
  {
    internal::TinyLock lock(consumers_mutex_);
    if (!consumers_.is_empty() || !producers_.is_empty()) return Quick::ask_both;
    const std::uint64_t begin = popped_.load(std::memory_order_relaxed);  // only changed under this mutex
    if (begin >= pushed_seen_) {  // greater after takes that held both mutexes
      pushed_seen_ = pushed_.load(std::memory_order_acquire);  // pairs with the release in try_add_quickly(): the item is there
      if (begin >= pushed_seen_) return closed_flag_ ? Quick::ask_both : Quick::blocked;
    }
    item.emplace(ring_.take(begin));
    popped_.store(begin + 1, std::memory_order_release);  // pairs with the acquire in try_add_quickly(): the slot is free
    was_last = closed_flag_ && begin + 1 == pushed_.load(std::memory_order_acquire);
  }
  if (was_last) drained_.go();
  return Quick::done;
}

template <typename T>
std::optional<Popped<T>> Queue<T>::try_pop_locked(internal::Claimed& claimed) {
  settle(claimed);
  if (positions_in_use() == 0) {
    if (closed_flag_) return Popped<T>(Why::closed);
    return std::nullopt;
  }
  std::optional<Popped<T>> popped(take_locked());
  settle(claimed);
  return popped;
}

template <typename T>
Popped<T> Queue<T>::pop_slowly(const Until& until) {
  internal::Claimed claimed;
  absl::Cleanup let_go = [&] {  // after the mutexes
    claimed.finish_all();
    go_if_drained();
  };
  {
    Both both(*this);
    if (auto popped = try_pop_locked(claimed)) return std::move(*popped);
  }
  if (const auto why = until.has_come()) return *why;

  internal::Wait wait(describe_pop(*this), internal::Wait::Spin::no);
  std::optional<T> item;
  Consumer node;
  node.into = &item;
  node.arm(wait, Why::ready);
  {
    Both both(*this);
    if (auto popped = try_pop_locked(claimed)) return std::move(*popped);
    consumers_.push_back(node);
  }
  absl::Cleanup leave = [&] {
    if (item) return;  // unlinked by who gave it
    Both both(*this);
    consumers_.remove(node);
  };
  const Why why = wait.park(until);
  if (why == Why::ready) return std::move(*item);
  return why;
}

template <typename T>
std::vector<T> Queue<T>::pop_all() {
  std::vector<T> items;
  internal::Claimed claimed;
  {
    Both both(*this);
    items.reserve(positions_in_use());
    while (positions_in_use() > 0 && items.size() < items.capacity()) items.push_back(take_locked());
    settle(claimed);
  }
  claimed.finish_all();
  go_if_drained();
  return items;
}

// --- both mutexes held ---------------------------------------------------------------------------------------------------

template <typename T>
void Queue<T>::reserve_one() {
  if (positions_in_use() < ring_.capacity()) return;
  // Grows with its use, so that a large max costs nothing until it is needed.
  const std::uint64_t wanted = std::max<std::uint64_t>(16, 2 * ring_.capacity());
  ring_.grow(wanted, popped_.load(std::memory_order_relaxed), pushed_.load(std::memory_order_relaxed));
}

template <typename T>
void Queue<T>::put_locked(Place place, T& value) noexcept {
  if constexpr (kCanBeUnique) {
    if (unique_) values_->insert(value);
  }
  if (place == Place::front) {
    const std::uint64_t position = popped_.load(std::memory_order_relaxed) - 1;
    ring_.put(position, std::move(value));
    popped_.store(position, std::memory_order_release);
    popped_seen_ = position;
  } else {
    const std::uint64_t position = pushed_.load(std::memory_order_relaxed);
    ring_.put(position, std::move(value));
    pushed_.store(position + 1, std::memory_order_release);
  }
}

template <typename T>
T Queue<T>::take_locked() noexcept {
  const std::uint64_t position = popped_.load(std::memory_order_relaxed);
  T value = ring_.take(position);
  popped_.store(position + 1, std::memory_order_release);
  if constexpr (kCanBeUnique) {
    if (unique_) values_->erase(value);
  }
  return value;
}

template <typename T>
bool Queue<T>::holds(const T& value) const noexcept {
  if constexpr (kCanBeUnique) {
    return values_->contains(value);
  } else {
    return false;
  }
}

template <typename T>
void Queue<T>::settle(internal::Claimed& claimed) {
  bool moved = true;
  while (moved) {
    moved = false;
    // Closed, with adds that still wait: they are allowed, and then max no longer counts.
    while (!producers_.is_empty() && (positions_in_use() < max_ || closed_flag_)) {
      reserve_one();  // before the claim: it may throw
      auto* producer = static_cast<Producer*>(producers_.front());
      // Its limit has come, or it is time to log that it waits. It settles the rest itself when it runs; nobody overtakes it.
      if (!producer->claim()) break;
      producers_.remove(*producer);
      if (!unique_ || !holds(*producer->value)) put_locked(producer->place, *producer->value);
      claimed.add(*producer);
      moved = true;
    }
    while (positions_in_use() > 0 && !consumers_.is_empty()) {
      auto* consumer = static_cast<Consumer*>(consumers_.claim_front());
      if (consumer == nullptr) break;
      consumer->into->emplace(take_locked());
      claimed.add(*consumer);
      moved = true;
    }
  }
}

// --- the rest ------------------------------------------------------------------------------------------------------------

template <typename T>
void Queue<T>::push_all(std::vector<T> values) {
  if (values.size() > max_) fail_too_many(values.size());
  for (auto value = values.rbegin(); value != values.rend(); ++value) push(std::move(*value));
}

template <typename T>
class Queue<T>::Iterator {
 public:
  using value_type = T;
  using difference_type = std::ptrdiff_t;

  Iterator(Queue* queue, Signal until) : queue_(queue), until_(std::move(until)) { ++*this; }

  T& operator*() const { return *item_; }
  T* operator->() const { return &*item_; }
  Iterator& operator++() {
    item_.reset();
    if (auto popped = queue_->pop(until_)) item_.emplace(*std::move(popped));
    return *this;
  }
  void operator++(int) { ++*this; }
  bool operator==(std::default_sentinel_t) const { return !item_.has_value(); }

 private:
  Queue* queue_;
  Signal until_;
  mutable std::optional<T> item_;
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
  internal::Claimed producers;
  internal::Claimed consumers;
  internal::Claimed allowed;
  absl::Cleanup let_go = [&] { allowed.finish_all(); };  // after the mutexes
  {
    Both both(*this);
    if (closed_flag_) return;
    closed_flag_ = true;
    consumers = consumers_.take_claimed();
    if (allow_add_after_close_) {
      settle(allowed);
    } else {
      producers = producers_.take_claimed();
    }
  }
  producers.finish_all(Why::closed);
  consumers.finish_all(Why::closed);
  closed_signal_.go();
  go_if_drained();
}

}  // namespace mothreads
