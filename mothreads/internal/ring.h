#pragma once

// Slots for the items of a Queue, addressed by ever growing positions. Its owner knows which of them hold an item.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace mothreads::internal {

template <typename T>
class Ring {
 public:
  Ring() = default;
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring() { free(slots_, capacity_); }

  std::uint64_t capacity() const noexcept { return capacity_; }

  template <typename U>
  void put(std::uint64_t position, U&& value) noexcept {
    std::construct_at(at(position), std::forward<U>(value));
  }

  T take(std::uint64_t position) noexcept {
    T* slot = at(position);
    T value = std::move(*slot);
    std::destroy_at(slot);
    return value;
  }

  void drop(std::uint64_t position) noexcept { std::destroy_at(at(position)); }

  // Makes room for `wanted` items and moves those from `begin` to `end` over. Throws std::bad_alloc, changing nothing.
  void grow(std::uint64_t wanted, std::uint64_t begin, std::uint64_t end) {
    const std::uint64_t capacity = std::bit_ceil(wanted);
    T* fresh = std::allocator<T>().allocate(capacity);
    for (std::uint64_t position = begin; position != end; ++position) {
      std::construct_at(fresh + (position & (capacity - 1)), std::move(*at(position)));
      std::destroy_at(at(position));
    }
    free(slots_, capacity_);
    slots_ = fresh;
    capacity_ = capacity;
  }

 private:
  T* at(std::uint64_t position) const noexcept { return slots_ + (position & (capacity_ - 1)); }
  static void free(T* first, std::uint64_t capacity) {
    if (first != nullptr) std::allocator<T>().deallocate(first, capacity);
  }

  T* slots_ = nullptr;
  std::uint64_t capacity_ = 0;  // a power of two
};

}  // namespace mothreads::internal
