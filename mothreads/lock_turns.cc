// Whose turn it is to enter a Lock.
//
// Whoever leaves wakes the next of the queue, and frees the lock. Until that one comes it is "on the way" (next_), and a running thread
// may take the lock meanwhile. When it comes and finds the lock held it queues in front again. Since handing over between
// threads costs a wake-up, who leaves may prefer a fiber of its own thread, and while the next is on the way from another thread it lets
// one of its own in besides (guest_). Each look along the queue is short, so its length costs nobody anything.

#include "mothreads/internal/lock_entrant.h"

namespace mothreads::inline v0 {
namespace {

// So far along the queue who leaves looks for a fiber of its own thread.
constexpr int kLookAlong = 32;

}  // namespace

bool Lock::has_waited_long(const Entrant& entrant) const noexcept {
  return entrant.is_urgent || takings_ - entrant.came_at >= kMaxBarges;
}

// Whether a context of that host would enter before another of it that queues, or may do so: what is far back is not looked at.
bool Lock::comes_after_its_own(const internal::Host* host) const noexcept {
  for (const Entrant* one : {next_, guest_}) {
    if (one != nullptr && one->host == host) return true;
  }
  int looks = 0;
  for (internal::WaitNode* node = entering_.front(); node != nullptr; node = entering_.after(*node)) {
    if (static_cast<Entrant*>(node)->host == host || ++looks == kLookAlong) return true;
  }
  return false;
}

// Of a lock that is free.
bool Lock::may_take(const internal::Context& me, const Entrant* entrant) const noexcept {
  if (next_ == nullptr && guest_ == nullptr) return true;
  const bool next_insists = next_ != nullptr && has_waited_long(*next_);
  if (entrant != nullptr && entrant == next_) return true;
  if (entrant != nullptr && entrant == guest_) return entrant->is_urgent || !next_insists;
  if (next_insists || (guest_ != nullptr && guest_->is_urgent)) return false;
  return me.host == nullptr || !comes_after_its_own(me.host);
}

// It is not on the way any more.
void Lock::has_come(const Entrant& entrant) noexcept {
  if (next_ == &entrant) next_ = nullptr;
  if (guest_ == &entrant) guest_ = nullptr;
}

void Lock::forget_left_behind() noexcept {
  for (Entrant** one : {&next_, &guest_}) {
    if (*one != nullptr && (*one)->born.is_left_behind()) *one = nullptr;
  }
}

bool Lock::take(internal::Context& me, Entrant* entrant) noexcept {
  forget_left_behind();
  std::uint32_t word = word_.load(std::memory_order_relaxed);
  while ((word & kHeld) == 0 && may_take(me, entrant)) {
    if (!word_.compare_exchange_weak(word, word | kHeld, std::memory_order_acquire, std::memory_order_relaxed)) continue;  // as lock()
    if (entrant != nullptr) has_come(*entrant);
    owner_.store(&me, std::memory_order_release);  // pairs with tell_owner()
    if (kept_name_.number() != 0 && (!entering_.is_empty() || !late_.is_empty())) static_cast<void>(tell_owner_by_name());
    ++takings_;
    return true;
  }
  return false;
}

// Takes it, or sees to it that who leaves looks at the lists.
bool Lock::take_or_mark(internal::Context& me, Entrant& entrant) noexcept {
  while (true) {
    if (take(me, &entrant)) return true;
    // While it is held only the holder of mutex_ changes the word, but for the holder's quick leaving. When it is free, somebody else is on
    // the way, and the marks are there.
    std::uint32_t word = word_.load(std::memory_order_relaxed);
    if ((word & kHeld) == 0 && may_take(me, &entrant)) continue;
    if (word_.compare_exchange_weak(word, word | kListed | kQueued, std::memory_order_relaxed)) break;
  }
  has_come(entrant);
  return false;
}

// The first fiber of that host in the queue, or null.
Lock::Entrant* Lock::choose_of(const internal::Host* host) noexcept {
  int looks = 0;
  for (internal::WaitNode* node = entering_.front(); node != nullptr && looks < kLookAlong; ++looks) {
    internal::WaitNode& one = *node;
    node = entering_.after(one);
    if (static_cast<Entrant&>(one).host != host || !one.claim()) continue;
    entering_.remove(one);
    return static_cast<Entrant*>(&one);
  }
  return nullptr;
}

Lock::Entrant* Lock::choose_next(const internal::Host* host) noexcept {
  // By turns, so that a stream of the late does not keep out the others.
  if (!was_late_ || entering_.is_empty()) {
    if (internal::WaitNode* late = late_.claim_first()) {
      was_late_ = true;
      return static_cast<Entrant*>(late);
    }
  }
  was_late_ = false;
  const auto* const first = static_cast<Entrant*>(entering_.front());
  const bool may_overtake = host != nullptr && first != nullptr && first->host != host && overtakings_ < kMaxOvertakings;
  if (may_overtake && !has_waited_long(*first)) {
    if (Entrant* own = choose_of(host)) {
      ++overtakings_;
      return own;
    }
  }
  overtakings_ = 0;
  if (internal::WaitNode* node = entering_.claim_first()) return static_cast<Entrant*>(node);
  return static_cast<Entrant*>(late_.claim_first());
}

internal::Claimed Lock::free_and_choose(const internal::Host* host) {
  internal::Claimed chosen;
  forget_left_behind();
  if (next_ == nullptr) {
    next_ = choose_next(host);
    if (next_ != nullptr) chosen.add(*next_);
  }
  if (next_ == nullptr) std::swap(next_, guest_);
  if (next_ != nullptr && guest_ == nullptr && !has_waited_long(*next_)) {
    guest_ = static_cast<Entrant*>(late_.claim_first());
    if (guest_ == nullptr && host != nullptr && next_->host != host) guest_ = choose_of(host);
    if (guest_ != nullptr) chosen.add(*guest_);
  }
  if (internal::WaitNode* node = claim_waiter()) chosen.add(*node);
  kept_name_.forget_holder();
  const bool queued = next_ != nullptr || !entering_.is_empty() || !late_.is_empty();
  const std::uint32_t marks = queued ? kListed | kQueued : !waiting_.is_empty() ? kListed : 0;
  word_.store(marks | (word_.load(std::memory_order_relaxed) & kWatched), std::memory_order_release);  // pairs with the acquire in lock()
  return chosen;
}

}  // namespace mothreads
