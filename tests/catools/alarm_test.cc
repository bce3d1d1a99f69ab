#include "catools/alarm.h"

#include <gtest/gtest.h>

namespace catools {
namespace {

TEST(AlarmTest, NumbersAreThoseOfEpics) {
  EXPECT_EQ(static_cast<int>(Severity::invalid), 3);
  EXPECT_EQ(static_cast<int>(Condition::undefined), 17);
  EXPECT_EQ(static_cast<int>(Condition::write_access), 21);
}

TEST(AlarmTest, HaveNames) {
  EXPECT_EQ(to_string(Severity::major), "major");
  EXPECT_EQ(to_string(static_cast<Severity>(4)), "unknown");
  EXPECT_EQ(to_string(Condition::change_of_state), "change of state");
  EXPECT_EQ(to_string(Condition::write_access), "write access");
  EXPECT_EQ(to_string(static_cast<Condition>(22)), "unknown");
}

}  // namespace
}  // namespace catools
