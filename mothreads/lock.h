#pragma once

// A monitor: one thread or fiber at a time is inside, and may wait there for another to change something.
//
//     Lock lock("todo list");
//     {
//       auto held = lock.enter();
//       held.wait([&] { return !todo.empty(); }, please_stop);      // always holds the lock again when it returns
//       if (!todo.empty()) take(todo);
//     }                                                             // leaving wakes one waiter
//
// Leaving wakes the waiter that came first. A waiter that is woken and waits again without having changed anything passes
// the wake on to the next one that has not had its turn, so every waiter looks once at every change, and then all sleep.
// Wait with a condition, as above, wherever there is one. A bare wait() in a loop is the same as long as nothing is changed
// between two waits of one enter(); who does change something there says so with changed(), or a peer that has had its turn
// is not told:
//
//     1. A and B wait. Someone leaves; A is woken, finds nothing and waits again; B is woken.
//     2. B takes an item, which makes room that A waits for, and waits again under the same guard, without changed().
//     3. A has had its turn for this change and sleeps on, although there is room.
//
// The lock belongs to the context (thread or fiber) that entered. It is not re-entrant: entering it again inside is a fatal
// error. Who runs may take it before those who queue, since handing it over would make convoys; those wake in order.
// When not to use it: to hand values over (Queue), to wait for one event (Signal).
//
// Thread safety: as a lock. Its name must be valid UTF-8 only for the reader's sake; it is copied.

#include <atomic>
#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "mothreads/contexts/tiny_mutex.h"
#include "mothreads/contexts/wait.h"
#include "mothreads/ended.h"
#include "mothreads/until.h"

// Before version 16 Clang's analysis cannot follow a guard that a function returns, and would warn of every `auto held =
// lock.enter()`: there the guard is left out of it.
#if defined(__clang__) && __clang_major__ < 16
#define MOTHREADS_GUARD_CLASS
#define MOTHREADS_GUARD_ENTERS(...) ABSL_NO_THREAD_SAFETY_ANALYSIS
#define MOTHREADS_GUARD_LEAVES ABSL_NO_THREAD_SAFETY_ANALYSIS
#else
#define MOTHREADS_GUARD_CLASS ABSL_SCOPED_LOCKABLE
#define MOTHREADS_GUARD_ENTERS(...) ABSL_EXCLUSIVE_LOCK_FUNCTION(__VA_ARGS__)
#define MOTHREADS_GUARD_LEAVES ABSL_UNLOCK_FUNCTION()
#endif

namespace mothreads {

class ABSL_LOCKABLE Lock {
 public:
  class Held;

  explicit Lock(std::string_view name = "lock") : name_(name) {}
  ~Lock();
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

  // Blocks until the lock is free and takes it until the result goes out of scope.
  [[nodiscard]] Held enter() MOTHREADS_GUARD_ENTERS();

  // The names of the standard library's lockables, for std::scoped_lock and its like. wait() needs enter().
  void lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() {
    internal::Context& me = internal::Context::current();
    // relaxed: only a context's own store can be equal to itself.
    if (owner_.load(std::memory_order_relaxed) == &me) [[unlikely]] fail_entered_twice();
    std::uint32_t expected = 0;
    // acquire pairs with the release in unlock().
    if (!word_.compare_exchange_strong(expected, kHeld, std::memory_order_acquire, std::memory_order_relaxed)) enter_slow();
    owner_.store(&me, std::memory_order_relaxed);
  }
  bool try_lock() ABSL_EXCLUSIVE_TRYLOCK_FUNCTION(true);
  void unlock() ABSL_UNLOCK_FUNCTION() {
    owner_.store(nullptr, std::memory_order_relaxed);
    std::uint32_t expected = kHeld;
    // release pairs with the acquire in lock().
    if (!word_.compare_exchange_strong(expected, 0, std::memory_order_release, std::memory_order_relaxed)) leave_slow();
  }

  const std::string& name() const { return name_; }

 private:
  struct Waiter;

  static constexpr std::uint32_t kHeld = 1;
  static constexpr std::uint32_t kQueued = 2;  // somebody is on one of the lists

  [[noreturn]] void fail_entered_twice() const;
  [[noreturn]] void fail_not_entered() const;
  void enter_slow();
  bool try_enter_spinning() noexcept;
  void leave_slow();
  // Leaves and enters: what the analysis cannot follow.
  Ended wait(const Until& until, bool changed) ABSL_NO_THREAD_SAFETY_ANALYSIS;

  // Frees the lock and claims who is to be woken: the first that wants to enter, and one that waits.
  internal::Claimed free_and_choose() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  std::atomic<std::uint32_t> word_{0};
  internal::TinyMutex mutex_;
  std::atomic<internal::Context*> owner_{nullptr};
  internal::WaitList entering_ ABSL_GUARDED_BY(mutex_);
  internal::WaitList waiting_ ABSL_GUARDED_BY(mutex_);
  std::uint64_t change_ ABSL_GUARDED_BY(mutex_) = 0;  // counts the changes that waiters are to look at
  const std::string name_;
};

// Being inside. Belongs to the context that entered and to its scope.
class MOTHREADS_GUARD_CLASS [[nodiscard]] Lock::Held {
 public:
  explicit Held(Lock& lock) MOTHREADS_GUARD_ENTERS(lock) : lock_(lock) { lock_.lock(); }
  ~Held() MOTHREADS_GUARD_LEAVES { lock_.unlock(); }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

  // Leaves the lock, blocks until woken or the limit comes first, and enters again, whatever ended it. `ready` means woken,
  // not that anything holds: test the condition again. The result may be ignored for that reason.
  Why wait(const Until& until = {}) {
    const Why why = lock_.wait(until, changed_).why();
    changed_ = why != Why::ready;  // who was not woken by a peer may have had reasons of its own, and cannot cause a ping-pong
    return why;
  }

  // Blocks until `condition`, called inside the lock, is true, or the limit comes first. True at once costs nothing.
  template <std::predicate Condition>
  Ended wait(Condition condition, const Until& until = {}) {
    if (!condition()) {
      const Until limit = until.from_now();  // a duration counts from the call, however often it is woken
      do {
        if (const Why why = wait(limit); why != Why::ready) return condition() ? Why::ready : why;
      } while (!condition());
    }
    changed_ = true;
    return Why::ready;
  }

  // Says that what the lock guards has changed since the last wait(), before waiting again without leaving.
  void changed() { changed_ = true; }

 private:
  Lock& lock_;
  bool changed_ = true;
};

inline Lock::Held Lock::enter() { return Held(*this); }

}  // namespace mothreads

#undef MOTHREADS_GUARD_CLASS
#undef MOTHREADS_GUARD_ENTERS
#undef MOTHREADS_GUARD_LEAVES
