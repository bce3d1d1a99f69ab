#include "mothreads/lock.h"

#include <cstdio>

#include <fmt/core.h>

#include "absl/cleanup/cleanup.h"
#include "mothreads/internal/base/printable.h"
#include "mothreads/internal/base/spin.h"
#include "mothreads/internal/lock_entrant.h"
#include "mothreads/misuse.h"

namespace mothreads::inline v0 {
namespace {

// A section under a Lock is longer than one under a TinyMutex; about 5 µs of looking is still cheaper than a sleep.
constexpr int kSpins = 100;

}  // namespace

// A context inside wait(), and the last change it has looked at.
struct Lock::Waiter : internal::WaitNode {
  using WaitNode::WaitNode;
  std::uint64_t looked_at = 0;
};

void Lock::write_name(const void* lock, char* buffer, std::size_t size) {
  std::snprintf(buffer, size, "%s", static_cast<const Lock*>(lock)->name().c_str());
}

Lock::Lock(std::string_view name) : name_(name), kept_name_(name == kDefaultName ? internal::KeptName() : internal::KeptName(name)) {
  if (name.find('\0') == std::string_view::npos) return;
  throw Misuse(fmt::format("\"{}\" cannot be the name of a Lock: it has a zero byte, which would end it in every report", internal::printable(name)));
}

Lock::~Lock() {
  if (born_.is_left_behind()) return;  // whoever is inside or waits may be the parent's
  internal::TinyLock lock(mutex_);
  const std::uint32_t word = word_.load(std::memory_order_relaxed);
  const bool none_queues = next_ == nullptr && guest_ == nullptr && entering_.is_empty() && late_.is_empty();
  if ((word & kHeld) == 0 && none_queues && waiting_.is_empty()) return;
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
  if (internal::Context::watch(internal::Step::before, "tries Lock", this, write_name)) [[unlikely]] watch();
  internal::Context& me = internal::Context::current();
  if (try_once(me, nullptr) != Tried::taken) return false;
  owner_.store(&me, std::memory_order_release);  // pairs with tell_owner()
  return true;
}

// --- entering ------------------------------------------------------------------------------------------------------------

Lock::Tried Lock::try_once(internal::Context& me, Entrant* entrant) noexcept {
  std::uint32_t word = word_.load(std::memory_order_relaxed);
  while ((word & kHeld) == 0) {
    if ((word & kQueued) != 0) {
      internal::TinyLock lock(mutex_);
      if (take(me, entrant)) return Tried::taken;
      return (word_.load(std::memory_order_relaxed) & kHeld) != 0 ? Tried::held : Tried::refused;
    }
    if (word_.compare_exchange_weak(word, word | kHeld, std::memory_order_acquire, std::memory_order_relaxed)) return Tried::taken;  // as lock()
  }
  return Tried::held;
}

bool Lock::try_enter_spinning(internal::Context& me, Entrant* entrant) noexcept {
  // On a host others may run meanwhile, and one of them may be inside.
  const int spins = me.host == nullptr ? kSpins : 1;
  for (int i = 0; i < spins; ++i) {
    const Tried tried = try_once(me, entrant);
    if (tried != Tried::held) return tried == Tried::taken;
    internal::spin_pause();
  }
  return false;
}

void Lock::enter_slow(internal::Context& me) {
  // Here, because a lock that is free is nobody's. relaxed: only a context's own store can be equal to itself.
  if (owner_.load(std::memory_order_relaxed) == &me) [[unlikely]] fail_entered_twice();
  if (!try_enter_spinning(me, nullptr)) queue_up(me, nullptr);
}

// How a wait() has ended.
struct Lock::Return {
  const Limit limit;
  bool is_late;  // its limit has come, or it is being unwound
};

void Lock::enter_again(internal::Context& me, Return& from) {
  if (!try_enter_spinning(me, nullptr)) queue_up(me, &from);
  owner_.store(&me, std::memory_order_release);  // pairs with tell_owner()
}

void Lock::queue_up(internal::Context& me, Return* from) {
  Entrant entrant(me.host);
  bool is_late = from != nullptr && from->is_late;
  bool has_limit = from != nullptr && !is_late && !from->limit.is_never();
  bool was_woken = false;
  for (bool first = true;; first = false) {
    internal::Wait wait({internal::EnteringVerb::lock, this, write_name, kept_name_.number()});
    entrant.arm(wait, Why::ready);
    internal::WaitList& list = is_late ? late_ : entering_;
    bool is_told = false;
    {
      internal::TinyLock lock(mutex_);
      if (take_or_mark(me, entrant)) return;
      if (first) entrant.came_at = takings_;
      // A thread that was woken for a fiber is awake, and may not be for long.
      entrant.is_urgent = is_late || (was_woken && me.host != nullptr);
      // Who was woken and found the lock taken again keeps its turn.
      if (was_woken) {
        list.push_front(entrant);
      } else {
        list.push_back(entrant);
      }
      is_told = tell_owner();
    }
    absl::Cleanup leave_list = [&] {
      internal::TinyLock lock(mutex_);
      list.remove(entrant);
    };
    const Limit limit = has_limit ? from->limit : Limit();
    was_woken = (is_told ? wait.park(limit) : park_and_tell(wait, limit)) == Why::ready;
    if (was_woken) {
      std::move(leave_list).Cancel();
      if (try_enter_spinning(me, &entrant)) return;
    } else {
      is_late = true;
      has_limit = false;
    }
  }
}

// --- leaving and waiting -------------------------------------------------------------------------------------------------

// The first that has not looked at the last change. Each looked at the last one when it was put at the end, so those come first.
internal::WaitNode* Lock::claim_waiter() noexcept {
  while (internal::WaitNode* node = waiting_.front()) {
    if (static_cast<Waiter*>(node)->looked_at >= change_) return nullptr;
    waiting_.remove(*node);
    if (node->claim()) return node;
  }
  return nullptr;
}

void Lock::leave_slow() {
  internal::Claimed chosen;
  bool is_watched = false;
  {
    internal::TinyLock lock(mutex_);
    const std::uint32_t word = word_.load(std::memory_order_relaxed);
    if ((word & kHeld) == 0) [[unlikely]] fail_not_entered();
    if ((word & kWatched) != 0) [[unlikely]] is_watched = internal::Context::watch(internal::Step::comes, "leaves Lock", this, write_name);
    ++change_;
    chosen = free_and_choose(internal::Context::current().host);
  }
  chosen.finish_all();  // after the lock is free, so that they need not wait for it at once
  if (is_watched) [[unlikely]] internal::Context::watch(internal::Step::after);
}

// Then no leaving is quick.
void Lock::watch() noexcept { word_.fetch_or(kWatched, std::memory_order_relaxed); }

Ended Lock::wait(Limit limit, bool changed) {
  internal::Context& me = internal::Context::current();
  if (owner_.load(std::memory_order_relaxed) != &me) {
    internal::fatal_misuse(fmt::format("wait() on Lock \"{}\" by \"{}\", which is not inside: only who entered may wait, with its own "
                                       "guard",
                                       name_, me.name));
  }
  internal::Wait wait({"waits in lock", this, write_name, kept_name_.number()});
  Waiter node(wait, Why::ready);
  internal::Claimed chosen;
  {
    internal::TinyLock lock(mutex_);
    if (changed) ++change_;
    owner_.store(nullptr, std::memory_order_relaxed);
    waiting_.push_back(node);
    node.looked_at = change_;
    chosen = free_and_choose(me.host);
  }
  chosen.finish_all();
  Return back{limit, /*is_late=*/true};
  absl::Cleanup come_back = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    {
      internal::TinyLock lock(mutex_);
      waiting_.remove(node);
    }
    const internal::NoUnwind whole;
    enter_again(me, back);
  };
  const Why why = wait.park(limit);
  back.is_late = why != Why::ready;
  return why;
}

}  // namespace mothreads
