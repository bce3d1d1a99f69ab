#include "catools/limits.h"

#include <cmath>

#include <gtest/gtest.h>

namespace catools {
namespace {

TEST(LimitsTest, NoneIsToldUnlessOneIsSaid) {
  const Limits limits{.high_alarm = 400};
  EXPECT_EQ(limits.high_alarm, 400);
  EXPECT_TRUE(std::isnan(limits.low_alarm));
  EXPECT_TRUE(std::isnan(limits.high_display));
}

}  // namespace
}  // namespace catools
