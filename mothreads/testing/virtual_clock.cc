#include "mothreads/testing/virtual_clock.h"

#include "mothreads/misuse.h"
#include "mothreads/until.h"

namespace mothreads::testing {
namespace {

// Not zero, so that nothing takes an early time for "none".
constexpr std::int64_t kStart = 1'000'000'000'000;

}  // namespace

VirtualClock::VirtualClock()
    : Clock(static_cast<internal::TimerQueue&>(*this), /*is_real=*/false), TimerQueue(kStart), now_(kStart) {}

VirtualClock::~VirtualClock() {
  if (size() != 0) {
    internal::fatal_misuse("a VirtualClock was destroyed while timers are pending on it: end the threads that use it first");
  }
}

Instant VirtualClock::now() const noexcept {
  // acquire pairs with the release in advance(): who sees the new time sees what was done before it came.
  return Instant(std::chrono::nanoseconds(now_.load(std::memory_order_acquire)));
}

void VirtualClock::advance(absl::Duration by) {
  if (by < absl::ZeroDuration()) throw Misuse("VirtualClock::advance by a negative duration: time does not go back");
  const std::int64_t target = now_.load(std::memory_order_relaxed) + absl::ToInt64Nanoseconds(by);
  for (std::int64_t next = first_time(); next <= target; next = first_time()) {
    if (next > now_.load(std::memory_order_relaxed)) now_.store(next, std::memory_order_release);
    expire(now_.load(std::memory_order_relaxed));
  }
  now_.store(target, std::memory_order_release);
}

bool VirtualClock::advance_to_next() {
  const std::int64_t next = first_time();
  if (next == internal::TimerWheel::kNever) return false;
  if (next > now_.load(std::memory_order_relaxed)) now_.store(next, std::memory_order_release);
  expire(now_.load(std::memory_order_relaxed));
  return true;
}

void VirtualClock::await_timers(std::size_t count) {
  while (true) {
    internal::Wait wait({"timers of a VirtualClock", this, nullptr});
    internal::WaitNode node(wait, Why::ready);
    {
      internal::TinyLock lock(waiters_mutex_);
      waiters_.push_back(node);
    }
    if (size() >= count && wait.claim_self()) {
      internal::TinyLock lock(waiters_mutex_);
      waiters_.remove(node);
      return;
    }
    wait.park(Until());
    internal::TinyLock lock(waiters_mutex_);
    waiters_.remove(node);
  }
}

void VirtualClock::added(std::int64_t) {
  internal::Claimed claimed;
  {
    internal::TinyLock lock(waiters_mutex_);
    while (internal::WaitNode* node = waiters_.claim_front()) claimed.add(*node);
  }
  claimed.finish_all();
}

}  // namespace mothreads::testing
