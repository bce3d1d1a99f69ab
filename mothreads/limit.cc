#include "mothreads/limit.h"

#include "mothreads/clock.h"
#include "mothreads/until.h"

namespace mothreads::inline v0 {

Limit::Limit(const Until& until) : Limit(until, until.counts_from_now() ? Clock::current().now() : Instant()) {}

Limit::Limit(const Until& until, Instant now)
    : when_(until.earliest(now)), signals_(until.signals_.empty() ? nullptr : &until.signals_) {}

std::optional<Why> Limit::has_come() const {
  if (signals_ != nullptr) {
    for (const internal::LimitSignal& signal : *signals_) {
      if (signal.state().is_gone()) return signal.state().as_limit();
    }
  }
  if (when_ == kNow || (when_ != kNever && Clock::current().now() >= when_)) return Why::timed_out;
  return std::nullopt;
}

}  // namespace mothreads
