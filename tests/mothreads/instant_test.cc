#include "mothreads/instant.h"

#include <gtest/gtest.h>

#include <chrono>
#include <type_traits>

#include "absl/time/time.h"

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

TEST(InstantTest, TakesDurationsOfBothKindsInEitherOrder) {
  Instant time = std::chrono::steady_clock::now();
  const Instant start = time;
  EXPECT_EQ(time + absl::Seconds(2), time + std::chrono::seconds(2));
  EXPECT_EQ(absl::Seconds(2) + time, std::chrono::seconds(2) + time);
  EXPECT_EQ(time - absl::Milliseconds(3), time - std::chrono::milliseconds(3));
  EXPECT_EQ(time + std::chrono::seconds(1) + absl::Seconds(1) - start, std::chrono::seconds(2));
  time += absl::Seconds(1);
  time += std::chrono::seconds(1);
  time -= absl::Seconds(2);
  EXPECT_EQ(time, start);
}

TEST(InstantTest, WhatLiesBeyondTheLastIsTheLast) {
  const Instant now = std::chrono::steady_clock::now();
  EXPECT_EQ(now + absl::InfiniteDuration(), Instant::max());
  EXPECT_EQ(now - absl::InfiniteDuration(), Instant::min());
  EXPECT_EQ(Instant::min() + absl::InfiniteDuration(), Instant::max());
  EXPECT_EQ(Instant::max() - absl::InfiniteDuration(), Instant::min());
  EXPECT_EQ(Instant::max() + absl::Nanoseconds(1), Instant::max());
  EXPECT_EQ(Instant::min() - absl::Nanoseconds(1), Instant::min());
  EXPECT_EQ(now + absl::Hours(24 * 366 * 400), Instant::max());
}

}  // namespace
}  // namespace mothreads
