// The owner of a Lock, told to those who look at others that wait to enter it.
//
// A reader on another thread must not touch the Lock, which may be gone. So the owner's name stands beside the name of the Lock (KeptName), and is
// written under mutex_ only: by the first context that queues, and by a context that takes the lock while others queue. Once a context queues, no
// leaving is quick any more, and the owner takes its name away under mutex_ before it frees the lock.
//
// A quick lock() only writes owner_. Between its two instructions the word says that the lock is held, and owner_ is null.

#include <chrono>

#include "mothreads/clock.h"
#include "mothreads/internal/base/spin.h"
#include "mothreads/lock.h"

namespace mothreads::inline v0 {
namespace {

// An owner that has not written owner_ after so many pauses does not run. Then a waiter looks again after a while: after a first one, and after twice as
// long each time, up to the last.
constexpr int kSpins = 100;
constexpr std::chrono::milliseconds kFirstWhile{1};
constexpr std::chrono::milliseconds kLastWhile{2000};

}  // namespace

bool Lock::tell_owner_by_name() const noexcept {
  // acquire pairs with the release of the leaving before: the owner_ of that one is not seen any more.
  const std::uint32_t word = word_.load(std::memory_order_acquire);
  if ((word & kHeld) == 0 || (word & kListed) == 0 || kept_name_.has_holder()) return true;
  const internal::Context* const owner = owner_.load(std::memory_order_acquire);  // pairs with lock(): its context has been made
  if (owner == nullptr) return false;
  kept_name_.tell_holder(owner->name_for_others());
  return true;
}

bool Lock::tell_owner_soon() noexcept {
  // relaxed: both are read again under mutex_.
  for (int i = 0; i < kSpins && owner_.load(std::memory_order_relaxed) == nullptr && (word_.load(std::memory_order_relaxed) & kHeld) != 0; ++i) {
    internal::spin_pause();
  }
  const internal::TinyLock lock(mutex_);
  return tell_owner();
}

// The caller queues, or is on the way, and so the lock is there. On a clock that a test moves the wait has no timer that the test does not expect.
Why Lock::park_and_tell(internal::Wait& wait, Limit limit) {
  const Clock& clock = *wait.context().clock;
  for (auto pause = kFirstWhile; !tell_owner_soon() && clock.is_real() && pause <= kLastWhile; pause *= 2) {
    if (const std::optional<Why> why = wait.park(limit, clock.now() + pause)) return *why;
  }
  return wait.park(limit);
}

}  // namespace mothreads
