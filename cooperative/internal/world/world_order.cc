#include "cooperative/internal/world/world_order.h"

#include <algorithm>

namespace cooperative::inline v0::internal {

std::uint64_t mix(std::uint64_t value) noexcept {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

namespace {

bool holds(std::span<const WorldId> able, WorldId who) { return std::find(able.begin(), able.end(), who) != able.end(); }

}  // namespace

WorldOrder::WorldOrder(const WorldOrderOptions& options)
    : random_(mix(options.seed ^ 0x5851f42d4c957f2d)), means_(options.priority_changes ? Means::priorities : Means::chance) {
  // Some faults need many switches, and some that a thread runs for long.
  constexpr std::uint64_t kStays[] = {0, 0, 24, 48};
  constexpr std::uint64_t kStaysOperating[] = {0, 32, 56, 62};
  stay_ = kStays[draw(std::size(kStays))];
  stay_operating_ = kStaysOperating[draw(std::size(kStaysOperating))];
  // From 16 to 1024 places.
  const std::uint64_t steps = options.steps != 0 ? options.steps : std::uint64_t{16} << draw(7);
  for (unsigned i = 1; i < options.depth; ++i) changes_.push_back(1 + draw(steps));
}

void WorldOrder::replay(std::span<const WorldSwitch> switches) {
  means_ = Means::list;
  for (const WorldSwitch& one : switches) list_[{one.who, one.point}] = one.to;
}

std::uint64_t WorldOrder::draw(std::uint64_t below) noexcept {
  random_ += 0x9e3779b97f4a7c15;
  return mix(random_) % below;
}

WorldOrder::Answer WorldOrder::choose(const SwitchPoint& place, std::span<const WorldId> able) {
  ++places_;
  point_ = ++points_[place.who];
  in_a_row_ = place.kind == Kind::operation ? in_a_row_ + 1 : 0;
  const WorldId without = unforced(place, able);
  WorldId to = without;
  switch (means_) {
    case Means::chance:
      to = by_chance(place, able);
      break;
    case Means::priorities:
      to = by_priority(place, able);
      break;
    case Means::list:
      to = by_list(place, able, without);
      break;
  }
  if (to != place.who) in_a_row_ = 0;
  hash_ = mix(hash_ ^ mix((std::uint64_t{place.who} << 32 | to) + (point_ << 8) + able.size()));
  return {.to = to, .is_forced = to != without};
}

// The thread that runs goes on, but not for ever. Then come the timers, if they are due, and the next in the ring of threads; last who called run().
WorldId WorldOrder::unforced(const SwitchPoint& place, std::span<const WorldId> able) const {
  const bool loops = place.only_yields || in_a_row_ > kMostInARow;
  if (!loops && holds(able, place.who)) return place.who;
  if (able.front() == kWorldTimers && place.who != kWorldTimers) return kWorldTimers;
  const auto next = std::find_if(able.begin(), able.end(), [&](WorldId one) { return one > place.who && one != kWorldCaller; });
  if (next != able.end()) return *next;
  const auto first = std::find_if(able.begin(), able.end(), [](WorldId one) { return one != kWorldTimers; });
  return first != able.end() ? *first : able.front();
}

WorldId WorldOrder::by_chance(const SwitchPoint& place, std::span<const WorldId> able) {
  const std::uint64_t stay = place.kind == Kind::operation ? stay_operating_ : stay_;
  if (draw(64) < stay && place.who != kWorldTimers && holds(able, place.who)) return place.who;
  return able[draw(able.size())];
}

std::int64_t& WorldOrder::priority_of(WorldId who) {
  const auto [at, is_new] = priorities_.try_emplace(who, 0);
  // Above all that changes give.
  if (is_new) at->second = static_cast<std::int64_t>((std::uint64_t{1} << 40) + draw(std::uint64_t{1} << 40));
  return at->second;
}

// Burckhardt, Kothari, Musuvathi, Nagarakatte: A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs, 2010. Who loops has no
// use of its priority, and loses it: else those whom it waits for would never run.
WorldId WorldOrder::by_priority(const SwitchPoint& place, std::span<const WorldId> able) {
  const bool runs = holds(able, place.who) && place.who != kWorldCaller;
  if (runs && (place.only_yields || in_a_row_ > kMostInARow)) priority_of(place.who) = --lowest_;
  for (std::size_t i = 0; i < changes_.size(); ++i) {
    if (changes_[i] == places_) priority_of(place.who) = static_cast<std::int64_t>(i + 1);
  }
  WorldId best = able.front();
  for (const WorldId one : able) {
    if (one != kWorldCaller && priority_of(one) > priority_of(best)) best = one;
  }
  return best;
}

WorldId WorldOrder::by_list(const SwitchPoint& place, std::span<const WorldId> able, WorldId otherwise) const {
  const auto at = list_.find({place.who, point_});
  return at != list_.end() && holds(able, at->second) ? at->second : otherwise;
}

}  // namespace cooperative::internal
