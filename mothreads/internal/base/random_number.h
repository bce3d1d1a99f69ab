#pragma once

// Numbers that nobody foresees, for what should not happen to many at the same moment, as the pauses of retry() do. They are no secrets.
//
// The system draws each of them, so a child of fork() has others than its parent. Where a test world stands in for the system, they follow
// from its seed.

#include <cstdint>

namespace mothreads::inline v0::internal {

// What the calling OS thread has in the place of the system's numbers.
class RandomSource {
 public:
  virtual std::uint64_t draw_number() noexcept = 0;

  // Null for the system's. Gives what it was before.
  static RandomSource* exchange(RandomSource* source) noexcept;

 protected:
  ~RandomSource() = default;
};

// Any thread may call it. Allocates nothing.
std::uint64_t random_number() noexcept;

// From 0 to 1, which it never is.
double random_part() noexcept;

}  // namespace mothreads::internal
