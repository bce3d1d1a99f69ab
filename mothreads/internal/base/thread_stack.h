#pragma once

// Stacks of OS threads. The C library would unmap most of them as their threads end, and on several processors that interrupts
// all that the process runs on: a pool that stops 1,000 threads spent two thirds of its time so.

#include <cstddef>
#include <utility>

namespace mothreads::inline v0::internal {

// A stack with a guard page below it; destroyed, it is kept for the next thread or unmapped.
class ThreadStack {
 public:
  ThreadStack() = default;
  // At least `size` bytes, 0 for the system's default. Throws std::system_error when the system has no room.
  explicit ThreadStack(std::size_t size);
  ThreadStack(ThreadStack&& other) noexcept
      : lowest_(std::exchange(other.lowest_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  ThreadStack& operator=(ThreadStack&& other) noexcept {
    std::swap(lowest_, other.lowest_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~ThreadStack();

  // It stays as it is, for ever: waiters that a child of fork() has left behind are on it.
  void leave_behind() noexcept { lowest_ = nullptr; }

  // The usable part, without the guard.
  void* lowest() const { return lowest_; }
  std::size_t size() const { return size_; }

 private:
  char* lowest_ = nullptr;
  std::size_t size_ = 0;
};

// How many ended threads' stacks are kept, of the default size only, and how much of each may stay in memory.
inline constexpr std::size_t kMaxKeptStacks = 1024;
inline constexpr std::size_t kMaxKeptBytes = 32 * 1024;

}  // namespace mothreads::internal
