#include "mothreads/ended.h"

#include <gtest/gtest.h>

#include <sstream>
#include <type_traits>

namespace mothreads::inline v0 {
namespace {

TEST(EndedTest, IsTrueOnlyWhenReady) {
  EXPECT_TRUE(Ended(Why::ready));
  EXPECT_FALSE(Ended(Why::closed));
  EXPECT_FALSE(Ended(Why::timed_out));
  EXPECT_FALSE(Ended(Why::stopped));
}

TEST(EndedTest, SaysWhy) {
  for (const Why why : {Why::ready, Why::closed, Why::timed_out, Why::stopped}) EXPECT_EQ(Ended(why).why(), why);
  EXPECT_TRUE(Ended(Why::closed) == Ended(Why::closed));
  EXPECT_FALSE(Ended(Why::closed) == Ended(Why::stopped));
}

TEST(EndedTest, IsNoNumberAndNoSilentTruthValue) {
  static_assert(std::is_convertible_v<Why, Ended>);
  static_assert(!std::is_convertible_v<Ended, bool>);
  static_assert(!std::is_convertible_v<Why, int>);
  static_assert(!std::is_constructible_v<Ended, bool>);
}

TEST(EndedTest, CanBeUsedInConstants) {
  static_assert(Ended(Why::ready));
  static_assert(Ended(Why::stopped).why() == Why::stopped);
}

TEST(WhyTest, HasWords) {
  EXPECT_EQ(to_string(Why::ready), "ready");
  EXPECT_EQ(to_string(Why::closed), "closed");
  EXPECT_EQ(to_string(Why::timed_out), "timed out");
  EXPECT_EQ(to_string(Why::stopped), "stopped");
  EXPECT_EQ(to_string(static_cast<Why>(99)), "unknown");
  std::ostringstream out;
  out << Why::timed_out;
  EXPECT_EQ(out.str(), "timed out");
}

}  // namespace
}  // namespace mothreads
