#include "mothreads/instant.h"

#include <gtest/gtest.h>

#include <chrono>
#include <type_traits>

namespace mothreads::inline v0 {
namespace {

TEST(InstantTest, IsAPointOfTheSteadyClockInNanoseconds) {
  static_assert(std::is_same_v<Instant::clock, std::chrono::steady_clock>);
  static_assert(std::is_same_v<Instant::duration, std::chrono::nanoseconds>);
  static_assert(Instant::clock::is_steady);
}

TEST(InstantTest, IsNotMixedUpWithWallClockTimesAndNumbers) {
  static_assert(!std::is_constructible_v<Instant, std::chrono::system_clock::time_point>);
  static_assert(!std::is_constructible_v<Instant, long>);
  static_assert(!std::is_convertible_v<std::chrono::nanoseconds, Instant>);
  const Instant start = std::chrono::steady_clock::now();
  EXPECT_EQ((start + std::chrono::seconds(2)) - start, std::chrono::nanoseconds(2'000'000'000));
}

}  // namespace
}  // namespace mothreads
