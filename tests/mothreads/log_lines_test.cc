#include "mothreads/testing/log_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mothreads/log.h"
#include "mothreads/thread.h"

namespace mothreads::inline v0 {
namespace {

using testing::LogLines;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

TEST(LogLinesTest, HasWhatIsLoggedWhileItLives) {
  ::testing::internal::CaptureStderr();
  {
    LogLines lines;
    log::info("one");
    Thread::run("other", [](const Signal&) { log::warning("two"); }).join();
    EXPECT_THAT(lines.with("two"), SizeIs(1));
    EXPECT_EQ(lines.with("two")[0].context, "other");
    EXPECT_THAT(lines.take_texts(), UnorderedElementsAre("one", "two"));  // the log keeps the order of each thread
    EXPECT_THAT(lines.take(), IsEmpty());
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST(LogLinesTest, AfterItTheLogGoesToStderrAgain) {
  { const LogLines lines; }
  ::testing::internal::CaptureStderr();
  log::info("seen");
  log::flush();
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), ::testing::HasSubstr("seen"));
}

}  // namespace
}  // namespace mothreads
