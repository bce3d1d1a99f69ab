#include "mothreads/posted.h"

#include <gtest/gtest.h>

#include <concepts>

#include "mothreads/ended.h"

namespace mothreads::inline v0 {
namespace {

TEST(PostedTest, IsTrueOnlyWhenTheValueWasTaken) {
  EXPECT_TRUE(Posted(Why::ready));
  for (const Why why : {Why::closed, Why::full, Why::timed_out, Why::stopped}) {
    EXPECT_FALSE(Posted(why));
    EXPECT_EQ(Posted(why).why(), why);
  }
}

Posted posts() { return Why::full; }

// Most callers have nothing to say about a value that is late.
TEST(PostedTest, MayBeIgnored) { posts(); }

TEST(PostedTest, DoesNotBecomeANumberOrABoolBySurprise) {
  static_assert(!std::convertible_to<Posted, bool> && !std::convertible_to<Posted, int>);
}

TEST(PostedTest, FullHasAName) { EXPECT_EQ(to_string(Why::full), "full"); }

}  // namespace
}  // namespace mothreads
