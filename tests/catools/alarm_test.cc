#include "catools/alarm.h"

#include <gtest/gtest.h>

namespace catools::inline v0 {
namespace {

// The numbers are those of the protocol: EPICS Base 7.0, alarm.h.
TEST(AlarmTest, NumbersAreThoseOfTheProtocol) {
  EXPECT_EQ(static_cast<int>(Severity::none), 0);
  EXPECT_EQ(static_cast<int>(Severity::minor), 1);
  EXPECT_EQ(static_cast<int>(Severity::major), 2);
  EXPECT_EQ(static_cast<int>(Severity::invalid), 3);
  EXPECT_EQ(static_cast<int>(Condition::none), 0);
  EXPECT_EQ(static_cast<int>(Condition::hihi), 3);
  EXPECT_EQ(static_cast<int>(Condition::low), 6);
  EXPECT_EQ(static_cast<int>(Condition::state), 7);
  EXPECT_EQ(static_cast<int>(Condition::communication), 9);
  EXPECT_EQ(static_cast<int>(Condition::undefined), 17);
  EXPECT_EQ(static_cast<int>(Condition::write_access), 21);
}

TEST(AlarmTest, HasNames) {
  EXPECT_EQ(to_string(Severity::none), "none");
  EXPECT_EQ(to_string(Severity::invalid), "invalid");
  EXPECT_EQ(to_string(Condition::none), "none");
  EXPECT_EQ(to_string(Condition::change_of_state), "change of state");
  EXPECT_EQ(to_string(Condition::undefined), "undefined");
  EXPECT_EQ(to_string(Condition::write_access), "write access");
}

TEST(AlarmTest, ANumberOfANewerServerHasNoName) {
  EXPECT_EQ(to_string(static_cast<Severity>(4)), "unknown");
  EXPECT_EQ(to_string(static_cast<Condition>(22)), "unknown");
}

}  // namespace
}  // namespace catools::inline v0
