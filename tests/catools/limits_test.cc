#include "catools/limits.h"

#include <cmath>

#include <gtest/gtest.h>

namespace catools::inline v0 {
namespace {

TEST(LimitsTest, NothingIsToldUnlessItIsSet) {
  const Limits limits{.high_alarm = 400};
  EXPECT_EQ(limits.high_alarm, 400);
  for (const double none : {limits.low_display, limits.high_display, limits.low_alarm, limits.low_warning, limits.high_warning,
                            limits.low_control, limits.high_control}) {
    EXPECT_TRUE(std::isnan(none));
  }
}

}  // namespace
}  // namespace catools::inline v0
