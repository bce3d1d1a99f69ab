#include "cooperative/internal/world/world_clock.h"

#include <algorithm>

namespace cooperative::inline v0::internal {

WorldClock::WorldClock(absl::Time wall_start)
    : Clock(timers_, watches_, /*is_real=*/false), wall_start_(wall_start), now_(kStart), timers_(kStart), watches_(kStart) {}

std::int64_t WorldClock::first_time() const noexcept { return std::min(timers_.first_time(), watches_.first_time()); }

void WorldClock::fire_due() {
  timers_.expire(now_);
  watches_.expire(now_);
}

void WorldClock::move_to(std::int64_t time) noexcept { now_ = std::max(now_, time); }

}  // namespace cooperative::internal
