#pragma once

// A point of the steady clock: what every deadline of the library is made of. It is a std::chrono::time_point, to which an absl::Duration may be
// added, too:
//
//     const Instant deadline = Clock::current().now() + absl::Seconds(5);
//     const std::chrono::nanoseconds left = deadline - Clock::current().now();

#include <chrono>
#include <concepts>
#include <cstdint>

#include "absl/time/time.h"

namespace mothreads::inline v0 {

class Instant : public std::chrono::time_point<std::chrono::steady_clock, std::chrono::nanoseconds> {
 public:
  using Point = std::chrono::time_point<std::chrono::steady_clock, std::chrono::nanoseconds>;

  constexpr Instant() = default;
  constexpr explicit Instant(duration since_epoch) : Point(since_epoch) {}
  constexpr Instant(Point point) : Point(point) {}  // NOLINT: it is one
  static constexpr Instant min() noexcept { return Point::min(); }
  static constexpr Instant max() noexcept { return Point::max(); }

  // A sum beyond max() is max(), and one beyond min() is min().
  friend Instant operator+(Instant instant, absl::Duration more) {
    const std::int64_t nanoseconds = absl::ToInt64Nanoseconds(more);
    if (more == absl::InfiniteDuration()) return max();
    if (more == -absl::InfiniteDuration()) return min();
    std::int64_t sum = 0;
    if (__builtin_add_overflow(instant.time_since_epoch().count(), nanoseconds, &sum)) return nanoseconds > 0 ? max() : min();
    return Instant(std::chrono::nanoseconds(sum));
  }
  friend Instant operator+(absl::Duration more, Instant instant) { return instant + more; }
  friend Instant operator-(Instant instant, absl::Duration less) { return instant + -less; }
  Instant& operator+=(absl::Duration more) { return *this = *this + more; }
  Instant& operator-=(absl::Duration less) { return *this = *this - less; }

  // As a time_point's.
  template <typename Rep, typename Period>
    requires std::convertible_to<std::chrono::duration<Rep, Period>, duration>
  friend constexpr Instant operator+(Instant instant, std::chrono::duration<Rep, Period> more) {
    return static_cast<const Point&>(instant) + duration(more);
  }
  template <typename Rep, typename Period>
    requires std::convertible_to<std::chrono::duration<Rep, Period>, duration>
  friend constexpr Instant operator-(Instant instant, std::chrono::duration<Rep, Period> less) {
    return static_cast<const Point&>(instant) - duration(less);
  }
  using Point::operator+=;
  using Point::operator-=;
};

}  // namespace mothreads
