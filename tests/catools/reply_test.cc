#include "catools/reply.h"

#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "mothreads/ended_early.h"
#include "mothreads/misuse.h"

namespace catools {
namespace {

const auto kName = std::make_shared<const std::string>("A:B");
const Error kLate(mothreads::Why::timed_out, Code::timed_out, "A:B", "late");

TEST(ReplyTest, HasAValueOrAnError) {
  Reply<std::string> fine(kName, "text");
  EXPECT_TRUE(fine);
  EXPECT_EQ(*fine, "text");
  EXPECT_EQ(fine->size(), 4U);
  EXPECT_EQ(fine.name(), "A:B");
  EXPECT_THROW(static_cast<void>(fine.error()), mothreads::Misuse);
  EXPECT_EQ(std::move(fine).value(), "text");

  const Reply<std::string> late(kName, kLate);
  EXPECT_FALSE(late);
  EXPECT_EQ(late.error().code(), Code::timed_out);
  EXPECT_THROW(static_cast<void>(*late), mothreads::Misuse);
  EXPECT_THROW(static_cast<void>(late.value()), mothreads::Timedout);
}

TEST(ReplyTest, OfNoValueSaysWhetherItWasDone) {
  const Reply<void> done(kName);
  EXPECT_TRUE(done);
  done.value();
  EXPECT_THROW(static_cast<void>(done.error()), mothreads::Misuse);
  const Reply<void> late(kName, kLate);
  EXPECT_FALSE(late);
  EXPECT_THROW(late.value(), Error);
}

}  // namespace
}  // namespace catools
