#pragma once

// Any duration of std::chrono as Abseil's. A duration that is longer than Abseil can say is infinite, in its direction.

#include <chrono>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <ratio>

#include "absl/time/time.h"

namespace mothreads::inline v0::internal {

// Throws Misuse: a duration that is not a number says no time.
[[noreturn]] void refuse_nan();

template <std::floating_point Number>
absl::Duration seconds_from(Number count, std::intmax_t numerator, std::intmax_t denominator) {
  const double seconds = static_cast<double>(count) * static_cast<double>(numerator) / static_cast<double>(denominator);
  if (std::isnan(seconds)) refuse_nan();
  return absl::Seconds(seconds);
}

__extension__ using Wide = __int128;

// `count`, a number of 64 bits, times numerator / denominator seconds.
inline absl::Duration seconds_from(Wide count, std::int64_t numerator, std::int64_t denominator) {
  const Wide product = count * numerator;
  const Wide whole = product / denominator;
  if (whole > std::numeric_limits<std::int64_t>::max()) return absl::InfiniteDuration();
  if (whole < std::numeric_limits<std::int64_t>::min()) return -absl::InfiniteDuration();
  const auto rest = static_cast<std::int64_t>(product % denominator);
  // The rest is less than a second; a double says it to a fraction of a nanosecond.
  const absl::Duration part = denominator <= 1'000'000'000 && 1'000'000'000 % denominator == 0
                                  ? absl::Nanoseconds(rest * (1'000'000'000 / denominator))
                                  : absl::Seconds(static_cast<double>(rest) / static_cast<double>(denominator));
  return absl::Seconds(static_cast<std::int64_t>(whole)) + part;
}

// The usual ones, which Abseil has without a detour.
template <typename Period>
inline constexpr bool kIsUsual = false;
template <>
inline constexpr bool kIsUsual<std::nano> = true;
template <>
inline constexpr bool kIsUsual<std::micro> = true;
template <>
inline constexpr bool kIsUsual<std::milli> = true;
template <>
inline constexpr bool kIsUsual<std::ratio<1>> = true;
template <>
inline constexpr bool kIsUsual<std::ratio<60>> = true;
template <>
inline constexpr bool kIsUsual<std::ratio<3600>> = true;

template <typename Rep, typename Period>
absl::Duration from_chrono(std::chrono::duration<Rep, Period> duration) {
  if constexpr (std::signed_integral<Rep> && sizeof(Rep) <= sizeof(std::int64_t) && kIsUsual<typename Period::type>) {
    return absl::FromChrono(std::chrono::duration<std::int64_t, typename Period::type>(duration));
  } else if constexpr (std::integral<Rep>) {
    return seconds_from(Wide{duration.count()}, Period::num, Period::den);
  } else if constexpr (std::floating_point<Rep>) {
    return seconds_from(duration.count(), Period::num, Period::den);
  } else {  // a class that counts
    return seconds_from(std::chrono::duration_cast<std::chrono::duration<double>>(duration).count(), 1, 1);
  }
}

}  // namespace mothreads::internal
