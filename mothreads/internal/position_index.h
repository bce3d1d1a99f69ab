#pragma once

// At which positions of a ring there is an item of a given hash. Open addressing, at most half full: insert() and erase() allocate
// nothing and do not fail.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

namespace mothreads::inline v0::internal {

class PositionIndex {
 public:
  // Makes room for so many positions. Throws std::bad_alloc, changing nothing.
  void reserve(std::uint64_t positions) {
    if (2 * positions <= capacity_) return;
    PositionIndex larger;
    larger.capacity_ = std::bit_ceil(2 * positions);
    larger.shift_ = 64 - std::countr_zero(larger.capacity_);
    larger.entries_ = std::make_unique<Entry[]>(larger.capacity_);
    for (std::uint64_t i = 0; i < capacity_; ++i) {
      if (entries_[i].position != 0) larger.insert(entries_[i].hash, entries_[i].position);
    }
    *this = std::move(larger);
  }

  // Whether `is_it` is true of a position with that hash.
  template <typename IsIt>
  bool contains(std::size_t hash, IsIt&& is_it) const {
    if (capacity_ == 0) return false;
    for (std::uint64_t i = home(hash); entries_[i].position != 0; i = next(i)) {
      if (entries_[i].hash == hash && is_it(entries_[i].position)) return true;
    }
    return false;
  }

  // There is room, and the position, which is not zero, is not in it.
  void insert(std::size_t hash, std::uint64_t position) noexcept {
    std::uint64_t i = home(hash);
    while (entries_[i].position != 0) i = next(i);
    entries_[i] = {hash, position};
  }

  // The position is in it.
  void erase(std::size_t hash, std::uint64_t position) noexcept {
    std::uint64_t hole = home(hash);
    while (entries_[hole].position != position) hole = next(hole);
    // Those behind it that could lie in the hole move there, so that every search finds them without a gap.
    for (std::uint64_t i = next(hole); entries_[i].position != 0; i = next(i)) {
      const std::uint64_t from_home = (i - home(entries_[i].hash)) & (capacity_ - 1);
      if (from_home < ((i - hole) & (capacity_ - 1))) continue;
      entries_[hole] = entries_[i];
      hole = i;
    }
    entries_[hole].position = 0;
  }

 private:
  struct Entry {
    std::size_t hash = 0;
    std::uint64_t position = 0;  // none
  };

  // Fibonacci hashing (Knuth, volume 3, 6.4): a std::hash of numbers is often the number itself.
  std::uint64_t home(std::size_t hash) const noexcept { return hash * 0x9E3779B97F4A7C15U >> shift_; }
  std::uint64_t next(std::uint64_t i) const noexcept { return (i + 1) & (capacity_ - 1); }

  std::unique_ptr<Entry[]> entries_;
  std::uint64_t capacity_ = 0;  // a power of two
  int shift_ = 0;
};

}  // namespace mothreads::internal
