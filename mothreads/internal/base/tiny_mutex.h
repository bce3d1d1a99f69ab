#pragma once

// A four-byte mutex for the library's own short sections: a few loads and stores, never user code, never another wait.
// It blocks the OS thread, also under a fiber, which is right for sections shorter than a context switch.
// The three states are those of Drepper, "Futexes Are Tricky", section 5: free, held, held with sleepers.

#include <atomic>
#include <cstdint>

#include "absl/base/thread_annotations.h"

namespace mothreads::inline v0::internal {

class ABSL_LOCKABLE TinyMutex {
 public:
  constexpr TinyMutex() = default;
  TinyMutex(const TinyMutex&) = delete;
  TinyMutex& operator=(const TinyMutex&) = delete;

  void lock() noexcept ABSL_EXCLUSIVE_LOCK_FUNCTION() {
    if (!try_lock()) lock_slow();
  }

  bool try_lock() noexcept ABSL_EXCLUSIVE_TRYLOCK_FUNCTION(true) {
    std::uint32_t expected = kFree;
    // acquire pairs with the release in unlock().
    return word_.compare_exchange_strong(expected, kHeld, std::memory_order_acquire, std::memory_order_relaxed);
  }

  void unlock() noexcept ABSL_UNLOCK_FUNCTION() {
    // release pairs with the acquire of the next holder.
    if (word_.exchange(kFree, std::memory_order_release) == kHeldWithSleepers) wake_one();
  }

 private:
  static constexpr std::uint32_t kFree = 0;
  static constexpr std::uint32_t kHeld = 1;
  static constexpr std::uint32_t kHeldWithSleepers = 2;

  void lock_slow() noexcept ABSL_NO_THREAD_SAFETY_ANALYSIS;
  void wake_one() noexcept;

  std::atomic<std::uint32_t> word_{kFree};
};

class ABSL_SCOPED_LOCKABLE TinyLock {
 public:
  explicit TinyLock(TinyMutex& mutex) noexcept ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~TinyLock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }
  TinyLock(const TinyLock&) = delete;
  TinyLock& operator=(const TinyLock&) = delete;

 private:
  TinyMutex& mutex_;
};

}  // namespace mothreads::internal
