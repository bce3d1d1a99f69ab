#include "cooperative/io/received.h"

#include <string>
#include <utility>

#include <gtest/gtest.h>

namespace cooperative::inline v0 {
namespace {

using mothreads::Why;

TEST(ReceivedTest, IsTrueWhereItDidWhatItWasAskedAndAlwaysSaysHowMuch) {
  EXPECT_TRUE(Received(3, Why::ready));
  for (const Why why : {Why::closed, Why::timed_out, Why::stopped}) {
    const Received received(2, why);
    EXPECT_FALSE(received);
    EXPECT_EQ(received.size(), 2u);
    EXPECT_EQ(received.why(), why);
  }
}

TEST(ReceivedTest, ATextIsTheTextAndWhy) {
  ReceivedText text("abc", Why::ready);
  EXPECT_TRUE(text);
  EXPECT_EQ(text->size(), 3u);
  EXPECT_EQ(*text, "abc");
  const std::string taken = *std::move(text);
  EXPECT_EQ(taken, "abc");
  const ReceivedText nothing = Why::timed_out;
  EXPECT_FALSE(nothing);
  EXPECT_EQ(*nothing, "");
  EXPECT_EQ(nothing.why(), Why::timed_out);
  EXPECT_TRUE(ReceivedText("", Why::ready));  // empty is not ended
  EXPECT_FALSE(text.has_delimiter());
  EXPECT_FALSE(nothing.has_delimiter());
  EXPECT_TRUE(ReceivedText("abc", Why::ready, /*has_delimiter=*/true).has_delimiter());
}

}  // namespace
}  // namespace cooperative
