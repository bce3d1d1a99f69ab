#pragma once

// A point of the steady clock: what every deadline of the library is made of.

#include <chrono>

namespace mothreads {

using Instant = std::chrono::time_point<std::chrono::steady_clock, std::chrono::nanoseconds>;

}  // namespace mothreads
