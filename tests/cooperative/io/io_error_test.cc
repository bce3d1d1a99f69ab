#include "cooperative/io/io_error.h"

#include <cerrno>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cooperative/errors.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Why;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(IoErrorTest, NamesTheObjectTheVerbAndTheReason) {
  const IoError error(ECONNREFUSED, "tcp socket 127.0.0.1:80", "connect");
  EXPECT_THAT(error.what(), AllOf(HasSubstr("tcp socket 127.0.0.1:80: cannot connect"), HasSubstr("onnection refused")));
  EXPECT_EQ(error.code(), std::errc::connection_refused);
  EXPECT_EQ(error.code().value(), ECONNREFUSED);
}

TEST(IoErrorTest, AWriteThatTimedOutEndedEarlyAndSaysHowMuch) {
  try {
    throw WriteTimedout(WriteTimedout("slow", Why::stopped, 7, 9), 20);
  } catch (const EndedEarly& early) {
    EXPECT_EQ(dynamic_cast<const WriteTimedout&>(early).written(), 27u);
    EXPECT_EQ(early.why(), Why::stopped);
    EXPECT_EQ(early.object(), "slow");
    EXPECT_STREQ(early.what(), "slow: stopped after 7 of 9 bytes were written");
  }
}

}  // namespace
}  // namespace cooperative
