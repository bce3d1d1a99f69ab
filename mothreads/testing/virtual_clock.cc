#include "mothreads/testing/virtual_clock.h"

#include <algorithm>

#include "absl/cleanup/cleanup.h"
#include "mothreads/misuse.h"
#include "mothreads/until.h"

namespace mothreads::inline v0::testing {
namespace {

// Not zero, so that nothing takes an early time for "none".
constexpr std::int64_t kStart = 1'000'000'000'000;

}  // namespace

internal::TimerQueue& VirtualClock::timers_of(VirtualClock& clock) { return clock; }

VirtualClock::VirtualClock(std::optional<absl::Time> wall_time)
    : Clock(timers_of(*this), timers_of(*this), /*is_real=*/false), TimerQueue(kStart), wall_start_(wall_time), now_(kStart) {}

VirtualClock::~VirtualClock() {
  if (size() != 0) {
    internal::fatal_misuse("a VirtualClock was destroyed while timers are pending on it: end the threads that use it first");
  }
}

Instant VirtualClock::now() const noexcept {
  // acquire pairs with the release in advance(): who sees the new time sees what was done before it came.
  return Instant(std::chrono::nanoseconds(now_.load(std::memory_order_acquire)));
}

absl::Time VirtualClock::wall_now() const noexcept {
  if (!wall_start_) return Clock::wall_now();
  return *wall_start_ + absl::FromChrono(now().time_since_epoch()) - absl::Nanoseconds(kStart);
}

void VirtualClock::advance(absl::Duration by) {
  if (by < absl::ZeroDuration()) throw Misuse("VirtualClock::advance by a negative duration: time does not go back");
  const std::int64_t now = now_.load(std::memory_order_relaxed);
  const absl::Duration room = absl::Nanoseconds(INT64_MAX - 1 - now);
  const std::int64_t target = now + absl::ToInt64Nanoseconds(std::min(by, room));
  for (std::int64_t next = first_time(); next <= target; next = first_time()) expire(move_to(next));
  expire(move_to(target));  // also what was added for an earlier time just now
}

std::int64_t VirtualClock::move_to(std::int64_t time) {
  std::int64_t now = now_.load(std::memory_order_relaxed);
  // Never back, whoever else moves it. release pairs with the acquire in now().
  while (now < time && !now_.compare_exchange_weak(now, time, std::memory_order_release, std::memory_order_relaxed)) {
  }
  return std::max(now, time);
}

bool VirtualClock::advance_to_next() {
  const std::int64_t next = first_time();
  if (next == internal::TimerWheel::kNever) return false;
  expire(move_to(next));
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
    absl::Cleanup leave = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      internal::TinyLock lock(waiters_mutex_);
      waiters_.remove(node);
    };
    if (size() >= count && wait.claim_self()) return;
    wait.park(Limit());
  }
}

void VirtualClock::added(std::int64_t when) {
  // The time may have passed `when` since its owner looked at the clock; then nobody else fires it.
  if (const std::int64_t now = now_.load(std::memory_order_acquire); when <= now) expire(now);
  internal::Claimed claimed;
  {
    internal::TinyLock lock(waiters_mutex_);
    while (internal::WaitNode* node = waiters_.claim_front()) claimed.add(*node);
  }
  claimed.finish_all();
}

}  // namespace mothreads::testing
