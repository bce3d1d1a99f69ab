#include "catools/server/internal/limited_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mothreads/clock.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/testing/virtual_clock.h"

namespace catools::inline v0::internal {
namespace {

using ::testing::ElementsAre;

TEST(LimitedLogTest, LogsOneAtATimeAndSaysHowManyWereLeftOut) {
  mothreads::testing::VirtualClock clock;
  const mothreads::UseClock use(clock);
  mothreads::testing::LogLines lines;
  {
    LimitedLog log;
    for (int i = 0; i < 1000; ++i) log.info("trouble", "first");
    clock.advance(LimitedLog::kPause);
    log.info("trouble", "second");
    clock.advance(LimitedLog::kPause);
    log.info("trouble", "third");
    log.info("trouble", "fourth");
  }
  EXPECT_THAT(lines.take_texts(), ElementsAre("trouble: first", "trouble: second (and 999 others since the last line)", "trouble: third",
                                         "trouble: 1 more since the last line"));
}

}  // namespace
}  // namespace catools::inline v0::internal
