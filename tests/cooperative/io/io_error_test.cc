#include "cooperative/io/io_error.h"

#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cooperative/errors.h"

namespace cooperative {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(IoErrorTest, NamesTheObjectTheVerbAndTheReason) {
  const IoError error(ECONNREFUSED, "tcp socket 127.0.0.1:80", "connect");
  EXPECT_THAT(error.what(), AllOf(HasSubstr("tcp socket 127.0.0.1:80: cannot connect"), HasSubstr("onnection refused")));
  EXPECT_EQ(error.code(), std::errc::connection_refused);
  EXPECT_EQ(error.code().value(), ECONNREFUSED);
}

TEST(IoErrorTest, AWriteThatTimedOutIsATimedoutThatSaysHowMuch) {
  try {
    throw WriteTimedout("slow", 7);
  } catch (const Timedout& timed_out) {
    EXPECT_EQ(dynamic_cast<const WriteTimedout&>(timed_out).written(), 7u);
    EXPECT_STREQ(timed_out.what(), "slow");
  }
}

}  // namespace
}  // namespace cooperative
