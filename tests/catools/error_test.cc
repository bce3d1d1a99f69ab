#include "catools/error.h"

#include <string>
#include <type_traits>

#include <gtest/gtest.h>

#include "mothreads/ended_early.h"

namespace catools {
namespace {

using mothreads::Why;

TEST(ErrorTest, NamesTheVariableAndTheReason) {
  const Error error(Why::closed, Code::put_failed, "A:B", "Channel write request failed");
  EXPECT_EQ(error.name(), "A:B");
  EXPECT_EQ(error.code(), Code::put_failed);
  EXPECT_EQ(static_cast<int>(error.code()), 160);
  EXPECT_STREQ(error.what(), "A:B: Channel write request failed");
}

TEST(ErrorTest, IsThrownAsTheLibrarysExceptionOfItsReason) {
  const auto raise = [](Why why) { Error(why, Code::timed_out, "A:B", "late").raise(); };
  EXPECT_THROW(raise(Why::timed_out), mothreads::Timedout);
  EXPECT_THROW(raise(Why::stopped), mothreads::Stopped);
  EXPECT_THROW(raise(Why::closed), mothreads::Closed);
  for (const Why why : {Why::timed_out, Why::stopped, Why::closed}) {
    EXPECT_THROW(raise(why), Error);
    try {
      raise(why);
    } catch (const mothreads::EndedEarly& early) {
      EXPECT_EQ(early.why(), why);
      EXPECT_EQ(early.object(), "A:B");
      EXPECT_STREQ(early.what(), "A:B: late");
    }
  }
}

TEST(ErrorTest, CopiesWithoutAnException) { EXPECT_TRUE(std::is_nothrow_copy_constructible_v<Error>); }

}  // namespace
}  // namespace catools
