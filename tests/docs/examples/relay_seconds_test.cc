#include "docs/examples/relay/seconds.h"

#include <cmath>

#include <gtest/gtest.h>

#include "docs/examples/relay/sensor.h"

namespace relay {
namespace {

Reading reading(unsigned sensor, double at, double value) {
  return {.sensor = sensor, .at = absl::Seconds(at), .value = value};
}

TEST(Seconds, SumUpWhatWasMeasuredInEach) {
  Seconds seconds(2);
  seconds.add(reading(1, 0, 3));
  seconds.add(reading(2, 0.5, -1));
  seconds.add(reading(1, 0.999, 1));
  seconds.add(reading(1, 1.0, 100));  // the next second's
  const auto second = seconds.take(absl::Seconds(1));
  ASSERT_TRUE(second);
  EXPECT_EQ(second->number, 0);
  ASSERT_EQ(second->rows.size(), 2u);
  EXPECT_EQ(second->rows[0].count, 2u);
  EXPECT_EQ(second->rows[0].least, 1);
  EXPECT_EQ(second->rows[0].greatest, 3);
  EXPECT_EQ(second->rows[0].mean(), 2);
  EXPECT_EQ(second->rows[1].least, -1);
  EXPECT_EQ(second->rows[1].greatest, -1);
}

TEST(Seconds, AreTakenOnceTheyAreOver) {
  Seconds seconds(1);
  seconds.add(reading(1, 0.1, 1));
  EXPECT_FALSE(seconds.take(absl::Milliseconds(999)));
  EXPECT_TRUE(seconds.take(absl::Seconds(1)));
  EXPECT_FALSE(seconds.take(absl::Seconds(1)));
}

TEST(Seconds, ComeInOrderAlsoThoseWithoutReadings) {
  Seconds seconds(1);
  seconds.add(reading(1, 2.5, 7));
  for (std::int64_t number = 0; number < 3; ++number) {
    const auto second = seconds.take(absl::Seconds(3));
    ASSERT_TRUE(second);
    EXPECT_EQ(second->number, number);
    EXPECT_EQ(second->rows[0].count, number == 2 ? 1u : 0u);
  }
  EXPECT_FALSE(seconds.take(absl::Seconds(3)));
}

TEST(Seconds, WhatComesTooLateIsCountedAndLeftOut) {
  Seconds seconds(1);
  EXPECT_TRUE(seconds.take(absl::Seconds(1)));
  seconds.add(reading(1, 0.9, 1));
  seconds.add(reading(1, 1.0, 1));
  EXPECT_EQ(seconds.readings(), 2u);
  EXPECT_EQ(seconds.late(), 1u);
  EXPECT_EQ(seconds.take(absl::Seconds(2))->rows[0].count, 1u);
}

TEST(Seconds, TheRestIsWhatHasReadings) {
  Seconds seconds(1);
  EXPECT_FALSE(seconds.take_last());
  seconds.add(reading(1, 1.5, 1));
  EXPECT_EQ(seconds.take_last()->number, 0);
  EXPECT_EQ(seconds.take_last()->number, 1);
  EXPECT_FALSE(seconds.take_last());
}

TEST(Measure, IsAWaveAroundAValueOfTheSensors) {
  for (unsigned sensor = 1; sensor < 5; ++sensor) {
    EXPECT_EQ(measure(sensor, absl::ZeroDuration()), 20.0 + 5 * sensor);
    for (int i = 0; i < 100; ++i) EXPECT_LE(std::abs(measure(sensor, absl::Milliseconds(137 * i)) - (20.0 + 5 * sensor)), 3.0);
  }
}

}  // namespace
}  // namespace relay
