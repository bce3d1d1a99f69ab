#pragma once

// A monitor: one thread or fiber at a time is inside, and may wait there for another to change something.
//
//     Lock lock("todo list");
//     {
//       auto held = lock.enter_when([&] { return !todo.empty(); }, please_stop);   // holds the lock when it returns, whatever ended it
//       if (!todo.empty()) take(todo);
//     }                                                             // leaving wakes one waiter
//
// Leaving wakes the waiter that came first. A waiter that is woken and waits again without having changed anything passes
// the wake on to the next one that has not had its turn, so every waiter looks once at every change, and then all sleep.
// Wait with a condition, as above or by held.wait(condition), wherever there is one. A bare wait() in a loop is the same as long as nothing is changed
// between two waits of one enter(); who does change something there says so with changed(), or a peer that has had its turn
// is not told:
//
//     1. A and B wait. Someone leaves; A is woken, finds nothing and waits again; B is woken.
//     2. B takes an item, which makes room that A waits for, and waits again under the same guard, without changed().
//     3. A has had its turn for this change and sleeps on, although there is room.
//
// The lock belongs to the context (thread or fiber) that entered. It is not re-entrant: entering it again inside is a fatal
// error.
//
// Nobody is left out. Those who queue enter in the order they came, but for two liberties that keep it quick, each with a bound. A
// thread that runs may take the lock before those who queue, since handing it over would make convoys; after kMaxBarges
// sections of others the first in the queue has it to itself. Fibers of one thread may follow each other before another thread
// is woken, kMaxOvertakings times in a row. A fiber never enters before another of its own thread that queues. Who comes back
// from a wait() by its limit is let in at the next leaving, or the one after.
//
// Entering a lock that is free is no wait: on a fiber it is an act like others (scheduler's selfishness.h), which may give the others a
// turn, but it does not unwind one that was cancelled. Waiting for it does, and so does every wait().
// When not to use it: to hand values over (Queue), to wait for one event (Signal).
//
// Of a lock that has a name, other than kDefaultName, those who wait to enter it tell others the name of the thread or fiber inside: see WaitReport,
// FiberLook and the report of a stop. That is the name that it had when the first of them began to wait. There is none for a moment after the lock has
// changed hands. A thread or fiber that ends inside and does not leave is misuse: those who queue later may tell the name of a later one.
//
// Thread safety: as a lock. Its name must be valid UTF-8 only for the reader's sake; it is copied.

#include <atomic>
#include <concepts>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "mothreads/ended.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/base/kept_name.h"
#include "mothreads/internal/base/tiny_mutex.h"
#include "mothreads/internal/wait/wait.h"
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

namespace mothreads::inline v0 {

class ABSL_LOCKABLE Lock {
 public:
  class Held;

  static constexpr std::uint32_t kMaxBarges = 1000;
  static constexpr std::uint32_t kMaxOvertakings = 64;
  static constexpr std::string_view kDefaultName = "lock";

  // Throws Misuse for a name with a zero byte.
  explicit Lock(std::string_view name = kDefaultName);
  ~Lock();
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

  // Blocks until the lock is free and takes it until the result goes out of scope.
  [[nodiscard]] Held enter() MOTHREADS_GUARD_ENTERS();

  // The same, and waits inside until `condition`, called there, is true, or the limit comes first: test the condition again. An arrival by this
  // verb counts as no change for those who wait already. enter() and then wait(condition) counts as one, since the caller may have changed
  // something in between: where N contexts come one after the other and wait, that makes N * N looks.
  template <std::predicate Condition>
  [[nodiscard]] Held enter_when(Condition condition, const Until& until = {}) MOTHREADS_GUARD_ENTERS();

  // The names of the standard library's lockables, for std::scoped_lock and its like. wait() needs enter().
  void lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() {
    internal::Context& me = internal::Context::current();
    if (internal::Context::spend_turn("enters Lock", this, write_name)) [[unlikely]] watch();
    std::uint32_t expected = 0;
    // acquire pairs with the release in unlock().
    if (!word_.compare_exchange_strong(expected, kHeld, std::memory_order_acquire, std::memory_order_relaxed)) enter_slow(me);
    owner_.store(&me, std::memory_order_release);  // pairs with tell_owner()
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
  struct Entrant;
  struct Return;

  static constexpr std::uint32_t kHeld = 1;
  static constexpr std::uint32_t kListed = 2;  // somebody is on one of the lists, or on the way: who leaves looks there
  static constexpr std::uint32_t kQueued = 4;  // somebody is on the way to enter, or queues: who wants to enter asks under mutex_
  static constexpr std::uint32_t kWatched = 8;  // a test world wants to hear of each leaving; never taken away

  [[noreturn]] void fail_entered_twice() const;
  [[noreturn]] void fail_not_entered() const;
  void enter_slow(internal::Context& me);
  void enter_again(internal::Context& me, Return& from);
  void queue_up(internal::Context& me, Return* from);
  enum class Tried : unsigned char { taken, held, refused };
  Tried try_once(internal::Context& me, Entrant* entrant) noexcept;
  bool try_enter_spinning(internal::Context& me, Entrant* entrant) noexcept;
  void leave_slow();
  void watch() noexcept;
  static void write_name(const void* lock, char* buffer, std::size_t size);
  // Leaves and enters: what the analysis cannot follow.
  Ended wait(Limit limit, bool changed) ABSL_NO_THREAD_SAFETY_ANALYSIS;

  // Tells others the name of the context inside, since somebody queues: lock_owner.cc. False where the owner is not known yet. The second waits a
  // little for that.
  bool tell_owner() const noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return kept_name_.number() == 0 || tell_owner_by_name(); }
  bool tell_owner_by_name() const noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool tell_owner_soon() noexcept;
  Why park_and_tell(internal::Wait& wait, Limit limit);

  // Who may enter, and who is next: lock_turns.cc.
  bool take(internal::Context& me, Entrant* entrant) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool take_or_mark(internal::Context& me, Entrant& entrant) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool may_take(const internal::Context& me, const Entrant* entrant) const noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool comes_after_its_own(const internal::Host* host) const noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool has_waited_long(const Entrant& entrant) const noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void forget_left_behind() noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);  // who was on the way in the parent of a fork()
  void has_come(const Entrant& entrant) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Entrant* choose_next(const internal::Host* host) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Entrant* choose_of(const internal::Host* host) noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  internal::WaitNode* claim_waiter() noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Frees the lock and claims who is to be woken: who is next to enter, and one that waits. `host` is that of who leaves.
  internal::Claimed free_and_choose(const internal::Host* host) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  std::atomic<std::uint32_t> word_{0};
  internal::TinyMutex mutex_;
  std::atomic<internal::Context*> owner_{nullptr};
  internal::WaitList entering_ ABSL_GUARDED_BY(mutex_);
  internal::WaitList late_ ABSL_GUARDED_BY(mutex_);  // to enter, too: their limits have come
  Entrant* next_ ABSL_GUARDED_BY(mutex_) = nullptr;   // has been woken to enter, and is on the way
  Entrant* guest_ ABSL_GUARDED_BY(mutex_) = nullptr;  // likewise, out of turn: it is late, or of the thread that left
  std::uint64_t takings_ ABSL_GUARDED_BY(mutex_) = 0;     // while somebody queued
  std::uint32_t overtakings_ ABSL_GUARDED_BY(mutex_) = 0;  // in a row
  bool was_late_ ABSL_GUARDED_BY(mutex_) = false;          // who was chosen last
  internal::WaitList waiting_ ABSL_GUARDED_BY(mutex_);  // in the order of the changes that they have looked at
  const internal::Born born_;
  std::uint64_t change_ ABSL_GUARDED_BY(mutex_) = 0;  // counts the changes that waiters are to look at
  const std::string name_;
  const internal::KeptName kept_name_;  // none for kDefaultName. Has a holder only while the lock is held, and kListed
};

// Being inside. Belongs to the context that entered and to its scope.
class MOTHREADS_GUARD_CLASS [[nodiscard]] Lock::Held {
 public:
  [[nodiscard]] explicit Held(Lock& lock) MOTHREADS_GUARD_ENTERS(lock) : lock_(lock) { lock_.lock(); }
  ~Held() MOTHREADS_GUARD_LEAVES { lock_.unlock(); }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

  // Leaves the lock, blocks until woken or the limit comes first, and enters again, whatever ended it. `ready` means woken,
  // not that anything holds: test the condition again.
  void wait() { static_cast<void>(wait(Until())); }
  Ended wait(const Until& until) {
    const Ended ended = lock_.wait(Limit(until), changed_);
    changed_ = !ended;  // who was not woken by a peer may have had reasons of its own, and cannot cause a ping-pong
    return ended;
  }

  // Blocks until `condition`, called inside the lock, is true, or the limit comes first. True at once costs nothing.
  template <std::predicate Condition>
  Ended wait(Condition condition, const Until& until = {}) {
    internal::Context::spend_act("looks in Lock", &lock_, write_name);
    if (!condition()) {
      const Limit limit(until);  // a duration counts from the call, however often it is woken
      do {
        if (const Ended ended = wait(limit); !ended) return condition() ? Why::ready : ended;
      } while (!condition());
    }
    changed_ = true;
    return Why::ready;
  }

  // Enters, too. See Lock::enter_when().
  template <std::predicate Condition>
  [[nodiscard]] Held(Lock& lock, Condition& condition, const Until& until) MOTHREADS_GUARD_ENTERS(lock) : Held(lock) {
    changed_ = false;
    static_cast<void>(wait(std::ref(condition), until));
  }

  // Says that what the lock guards has changed since the last wait(), before waiting again without leaving.
  void changed() { changed_ = true; }

 private:
  Lock& lock_;
  bool changed_ = true;
};

inline Lock::Held Lock::enter() { return Held(*this); }

template <std::predicate Condition>
Lock::Held Lock::enter_when(Condition condition, const Until& until) {
  return Held(*this, condition, until);
}

}  // namespace mothreads

#undef MOTHREADS_GUARD_CLASS
#undef MOTHREADS_GUARD_ENTERS
#undef MOTHREADS_GUARD_LEAVES
