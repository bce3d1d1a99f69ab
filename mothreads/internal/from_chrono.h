#pragma once

// Any duration of std::chrono as Abseil's. absl::FromChrono() takes those with the standard names alone.

#include <chrono>
#include <concepts>

#include "absl/time/time.h"

namespace mothreads::internal {

template <typename Rep, typename Period>
absl::Duration from_chrono(std::chrono::duration<Rep, Period> duration) {
  if constexpr (requires { absl::FromChrono(duration); }) {
    return absl::FromChrono(duration);
  } else if constexpr (std::floating_point<Rep>) {
    return absl::Seconds(std::chrono::duration<double>(duration).count());
  } else {
    return absl::Seconds(Period::num) * duration.count() / Period::den;  // infinite where it does not fit
  }
}

}  // namespace mothreads::internal
