#include "cooperative/io/internal/shared_mode.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <system_error>

#include <gtest/gtest.h>

#include "cooperative/io/io_error.h"
#include "tests/support/nothing_left.h"

namespace cooperative::inline v0::internal::io {
namespace {

class SharedModeTest : public mothreads::testing::NothingLeft {
 protected:
  void SetUp() override {
    NothingLeft::SetUp();
    ASSERT_EQ(pipe2(ends_, O_CLOEXEC), 0);
    copy_ = fcntl(ends_[1], F_DUPFD_CLOEXEC, 0);
  }
  void TearDown() override {
    for (const int descriptor : {ends_[0], ends_[1], copy_}) ::close(descriptor);
    NothingLeft::TearDown();
  }
  static bool blocks(int descriptor) { return (fcntl(descriptor, F_GETFL) & O_NONBLOCK) == 0; }

  int ends_[2];
  int copy_;  // of the second
};

TEST_F(SharedModeTest, ItIsNonBlockingMeanwhile) {
  {
    const SharedMode mode(ends_[0]);
    EXPECT_FALSE(blocks(ends_[0]));
  }
  EXPECT_TRUE(blocks(ends_[0]));
}

TEST_F(SharedModeTest, WhatWasNonBlockingStaysSo) {
  fcntl(ends_[0], F_SETFL, O_NONBLOCK);
  { const SharedMode mode(ends_[0]); }
  EXPECT_FALSE(blocks(ends_[0]));
}

TEST_F(SharedModeTest, TwoOfTheSameOpenedThingRestoreItOnceBothHaveGone) {
  std::optional<SharedMode> first(std::in_place, ends_[1]);
  std::optional<SharedMode> second(std::in_place, copy_);
  first.reset();
  EXPECT_FALSE(blocks(copy_));
  second.reset();
  EXPECT_TRUE(blocks(copy_));
}

TEST_F(SharedModeTest, TheOtherWayRound) {
  std::optional<SharedMode> first(std::in_place, ends_[1]);
  std::optional<SharedMode> second(std::in_place, copy_);
  second.reset();
  EXPECT_FALSE(blocks(copy_));
  first.reset();
  EXPECT_TRUE(blocks(copy_));
}

// The two ends are one file to stat(), and not one opened thing.
TEST_F(SharedModeTest, AnotherOpenedThingOfTheSameFileHasItsOwn) {
  std::optional<SharedMode> reader(std::in_place, ends_[0]);
  std::optional<SharedMode> writer(std::in_place, ends_[1]);
  reader.reset();
  writer.reset();
  EXPECT_TRUE(blocks(ends_[1]));
}

TEST_F(SharedModeTest, WhatIsNoDescriptorIsNamed) {
  try {
    const SharedMode mode(-1);
    FAIL();
  } catch (const IoError& error) {
    EXPECT_EQ(error.code(), std::errc::bad_file_descriptor);
  }
}

}  // namespace
}  // namespace cooperative::internal::io
