#include "mothreads/lock.h"

#include <cstdio>
#include <optional>

#include <fmt/core.h>

#include "absl/cleanup/cleanup.h"
#include "mothreads/contexts/spin.h"
#include "mothreads/misuse.h"

namespace mothreads {
namespace {

// A section under a Lock is longer than one under a TinyMutex; about 5 µs of looking is still cheaper than a sleep.
constexpr int kSpins = 100;

void write_lock_name(const void* lock, char* buffer, std::size_t size) {
  std::snprintf(buffer, size, "%s", static_cast<const Lock*>(lock)->name().c_str());
}

}  // namespace

// A context inside wait(), and the last change it has looked at.
struct Lock::Waiter : internal::WaitNode {
  using WaitNode::WaitNode;
  std::uint64_t looked_at = 0;
};

Lock::~Lock() {
  internal::TinyLock lock(mutex_);
  if (word_.load(std::memory_order_relaxed) == 0 || (entering_.is_empty() && waiting_.is_empty())) {
    if ((word_.load(std::memory_order_relaxed) & kHeld) == 0) return;
  }
  internal::fatal_misuse(
      fmt::format("Lock \"{}\" was destroyed while somebody is inside or waits for it: stop and join those threads first", name_));
}

void Lock::fail_entered_twice() const {
  internal::fatal_misuse(fmt::format(
      "Lock \"{}\" was entered a second time by \"{}\", which is inside already: it is not re-entrant. Enter it once and pass "
      "the guard on, or leave the scope first",
      name_, internal::Context::current().name));
}

void Lock::fail_not_entered() const {
  internal::fatal_misuse(fmt::format("Lock \"{}\" was left by \"{}\", but nobody is inside: call unlock() once for each lock()",
                                     name_, internal::Context::current().name));
}

bool Lock::try_lock() {
  internal::Context& me = internal::Context::current();
  std::uint32_t word = word_.load(std::memory_order_relaxed);
  while ((word & kHeld) == 0) {
    if (word_.compare_exchange_weak(word, word | kHeld, std::memory_order_acquire, std::memory_order_relaxed)) {  // as lock()
      owner_.store(&me, std::memory_order_relaxed);
      return true;
    }
  }
  return false;
}

bool Lock::try_enter_spinning() noexcept {
  for (int i = 0; i < kSpins; ++i) {
    std::uint32_t word = word_.load(std::memory_order_relaxed);
    if ((word & kHeld) == 0 &&
        word_.compare_exchange_weak(word, word | kHeld, std::memory_order_acquire, std::memory_order_relaxed)) {  // as lock()
      return true;
    }
    internal::spin_pause();
  }
  return false;
}

void Lock::enter_slow() {
  if (try_enter_spinning()) return;
  for (bool first = true;; first = false) {
    internal::Wait wait({"enters lock", this, write_lock_name});
    internal::WaitNode node(wait, Why::ready);
    {
      internal::TinyLock lock(mutex_);
      std::uint32_t word = word_.load(std::memory_order_relaxed);
      while (true) {
        // While it is held only the holder of mutex_ changes the word, but for the holder's quick leaving.
        const std::uint32_t wanted = (word & kHeld) == 0 ? word | kHeld : word | kQueued;
        if (!word_.compare_exchange_weak(word, wanted, std::memory_order_acquire, std::memory_order_relaxed)) continue;
        if ((word & kHeld) == 0) return;
        break;
      }
      // Who was woken and found the lock taken again keeps its turn.
      if (first) {
        entering_.push_back(node);
      } else {
        entering_.push_front(node);
      }
    }
    absl::Cleanup leave_list = [&] {
      internal::TinyLock lock(mutex_);
      entering_.remove(node);
    };
    static_cast<void>(wait.park(Until()));
    std::move(leave_list).Cancel();
    if (try_enter_spinning()) return;
  }
}

internal::Claimed Lock::free_and_choose() {
  internal::Claimed chosen;
  if (internal::WaitNode* node = entering_.claim_front()) chosen.add(*node);
  for (internal::WaitNode* node = waiting_.front(); node != nullptr; node = waiting_.after(*node)) {
    if (static_cast<Waiter*>(node)->looked_at >= change_ || !node->claim()) continue;
    waiting_.remove(*node);
    chosen.add(*node);
    break;
  }
  const bool queued = !entering_.is_empty() || !waiting_.is_empty();
  word_.store(queued ? kQueued : 0, std::memory_order_release);  // pairs with the acquire in lock()
  return chosen;
}

void Lock::leave_slow() {
  internal::Claimed chosen;
  {
    internal::TinyLock lock(mutex_);
    if ((word_.load(std::memory_order_relaxed) & kHeld) == 0) [[unlikely]] fail_not_entered();
    ++change_;
    chosen = free_and_choose();
  }
  chosen.finish_all();  // after the lock is free, so that they need not wait for it at once
}

Ended Lock::wait(const Until& until, bool changed) {
  if (owner_.load(std::memory_order_relaxed) != &internal::Context::current()) {
    internal::fatal_misuse(fmt::format("wait() on Lock \"{}\" by \"{}\", which is not inside: only who entered may wait, with its own "
                                       "guard",
                                       name_, internal::Context::current().name));
  }
  internal::Wait wait({"waits in lock", this, write_lock_name});
  Waiter node(wait, Why::ready);
  internal::Claimed chosen;
  {
    internal::TinyLock lock(mutex_);
    if (changed) ++change_;
    owner_.store(nullptr, std::memory_order_relaxed);
    waiting_.push_back(node);
    node.looked_at = change_;
    chosen = free_and_choose();
  }
  chosen.finish_all();
  absl::Cleanup enter_again = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    {
      internal::TinyLock lock(mutex_);
      waiting_.remove(node);
    }
    const internal::NoUnwind whole;
    this->lock();
  };
  return wait.park(until);
}

}  // namespace mothreads
