#pragma once

// Slots for the items of a queue, addressed by ever growing positions, and a queue of values made of them. An empty one has no memory
// but its own. It doubles when it is full; one that is large and nearly empty gives memory back. So each item pays for a constant number
// of moves, whatever came before it.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace mothreads::inline v0::internal {

// Its owner knows which fresh hold an item. T moves without exceptions.
template <typename T>
class Ring {
  static constexpr std::size_t kFirstBytes = 512;
  static constexpr std::size_t kKeptBytes = 16 * 1024;

 public:
  // The fresh of the first allocation, and how many are never given back: small rings come and go without the allocator.
  static constexpr std::uint64_t kFirst = std::clamp<std::uint64_t>(std::bit_floor(kFirstBytes / std::min(sizeof(T), kFirstBytes)), 4, 16);
  static constexpr std::uint64_t kKept = std::max<std::uint64_t>(kFirst, std::bit_floor(kKeptBytes / std::min(sizeof(T), kKeptBytes)));

  Ring() = default;
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring() { free(slots_, capacity_); }

  std::uint64_t capacity() const noexcept { return capacity_; }

  T& operator[](std::uint64_t position) const noexcept { return *at(position); }

  // When the construction throws, the slot holds nothing, as before.
  template <typename... Args>
  void put(std::uint64_t position, Args&&... args) noexcept(std::is_nothrow_constructible_v<T, Args...>) {
    std::construct_at(at(position), std::forward<Args>(args)...);
  }

  T take(std::uint64_t position) noexcept {
    T* slot = at(position);
    T value = std::move(*slot);
    std::destroy_at(slot);
    return value;
  }

  void drop(std::uint64_t position) noexcept { std::destroy_at(at(position)); }

  // Makes room for one more than is there, where there is none. Throws std::bad_alloc, changing nothing.
  void reserve_one(std::uint64_t begin, std::uint64_t end) {
    if (end - begin == capacity_) resize(std::max(kFirst, 2 * capacity_), begin, end);
  }
  // The same for so many items in all.
  void reserve(std::uint64_t items, std::uint64_t begin, std::uint64_t end) {
    if (items > capacity_) resize(std::bit_ceil(std::max(kFirst, items)), begin, end);
  }

  // Whether so few items make it worth giving memory back: at least a quarter of the fresh were taken since the last resize().
  bool is_sparse(std::uint64_t items) const noexcept { return capacity_ > kKept && 4 * items <= capacity_; }
  // Leaves twice the room of the items. Nothing when there is no memory to move to.
  void shrink(std::uint64_t begin, std::uint64_t end) noexcept {
    try {
      resize(std::bit_ceil(std::max(kKept, 2 * (end - begin))), begin, end);
    } catch (const std::bad_alloc&) {
      // The large one serves as well.
    }
  }

 private:
  T* at(std::uint64_t position) const noexcept { return slots_ + (position & (capacity_ - 1)); }
  static void free(T* fresh, std::uint64_t capacity) {
    if (fresh != nullptr) std::allocator<T>().deallocate(fresh, capacity);
  }

  void resize(std::uint64_t capacity, std::uint64_t begin, std::uint64_t end) {
    static_assert(std::is_nothrow_move_constructible_v<T>);
    T* fresh = std::allocator<T>().allocate(capacity);
    for (std::uint64_t position = begin; position != end; ++position) {
      std::construct_at(fresh + (position & (capacity - 1)), std::move(*at(position)));
      std::destroy_at(at(position));
    }
    free(slots_, capacity_);
    slots_ = fresh;
    capacity_ = capacity;
  }

  T* slots_ = nullptr;
  std::uint64_t capacity_ = 0;  // a power of two
};

// First in, first out, and back to the front. Not thread-safe. What a constructor of T throws leaves it as it was.
template <typename T>
class RingQueue {
  // Values whose move may throw lie in memory of their own, so that a growing ring moves no value.
  static constexpr bool kBoxed = !std::is_nothrow_move_constructible_v<T>;
  using Slot = std::conditional_t<kBoxed, std::unique_ptr<T>, T>;

 public:
  RingQueue() = default;
  ~RingQueue() { clear(); }
  RingQueue(const RingQueue&) = delete;
  RingQueue& operator=(const RingQueue&) = delete;

  bool is_empty() const noexcept { return begin_ == end_; }
  std::size_t size() const noexcept { return static_cast<std::size_t>(end_ - begin_); }

  T& front() noexcept {
    if constexpr (kBoxed) {
      return *ring_[begin_];
    } else {
      return ring_[begin_];
    }
  }

  template <typename V>
  void push_back(V&& value) {
    reserve_one();
    put(end_, std::forward<V>(value));
    ++end_;
  }
  template <typename V>
  void push_front(V&& value) {
    reserve_one();
    put(begin_ - 1, std::forward<V>(value));
    --begin_;
  }

  void drop_front() noexcept {
    ring_.drop(begin_);
    ++begin_;
    if (ring_.is_sparse(end_ - begin_)) [[unlikely]] ring_.shrink(begin_, end_);
  }

  void clear() noexcept {
    while (!is_empty()) drop_front();
  }

 private:
  void reserve_one() {
    if (end_ - begin_ == ring_.capacity()) [[unlikely]] ring_.reserve_one(begin_, end_);
  }
  template <typename V>
  void put(std::uint64_t position, V&& value) {
    if constexpr (kBoxed) {
      ring_.put(position, std::make_unique<T>(std::forward<V>(value)));
    } else {
      ring_.put(position, std::forward<V>(value));
    }
  }

  Ring<Slot> ring_;
  std::uint64_t begin_ = 0;
  std::uint64_t end_ = 0;
};

}  // namespace mothreads::internal
