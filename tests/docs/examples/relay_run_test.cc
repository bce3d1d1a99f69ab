#include "docs/examples/relay/run.h"

#include <cstdio>
#include <cstdlib>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "mothreads/clock.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "tests/support/nothing_left.h"

namespace relay {
namespace {

using mothreads::Signal;
using mothreads::Thread;
using mothreads::UseClock;
using mothreads::testing::LogLines;
using mothreads::testing::VirtualClock;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

// A run on a thread of its own, whose time the test makes pass. Each sensor waits for its next time, and the scheduler for the display's.
class RunTest : public mothreads::testing::NothingLeft {
 protected:
  ~RunTest() override {
    std::fclose(file_);
    std::free(text_);
  }

  void start(const Options& options) {
    timers_ = options.sensors + 1;
    run_ = Thread::run("run", [this, options](Signal) { return relay::Run(options, screen_)(); });
  }

  void pass(absl::Duration time) {
    const auto end = clock_.now() + absl::ToChronoNanoseconds(time);
    for (clock_.await_timers(timers_); clock_.now() < end; clock_.await_timers(timers_)) clock_.advance(absl::Milliseconds(50));
  }

  // What it printed, once it has ended.
  std::string output(int expected_code) {
    EXPECT_EQ(run_.join(), expected_code);
    std::fflush(file_);
    return {text_, size_};
  }

  LogLines log_;
  VirtualClock clock_;
  const UseClock use_{clock_};
  std::size_t timers_ = 0;
  char* text_ = nullptr;
  std::size_t size_ = 0;
  std::FILE* const file_ = open_memstream(&text_, &size_);
  Screen screen_{file_, stderr, false};
  mothreads::ThreadHandle<int> run_;
};

TEST_F(RunTest, EverySecondOfEverySensorIsSummedUp) {
  start({.sensors = 3, .rate = 2, .seconds = 3});
  pass(absl::Milliseconds(2950));
  clock_.advance(absl::Milliseconds(50));
  EXPECT_EQ(output(0),
            "second 0, sensor 1: 2 readings, 25.00 to 25.93, mean 25.46\n"
            "second 0, sensor 2: 4 readings, 30.00 to 31.36, mean 30.69\n"
            "second 0, sensor 3: 6 readings, 35.00 to 36.50, mean 35.76\n"
            "second 1, sensor 1: 2 readings, 26.76 to 27.43, mean 27.10\n"
            "second 1, sensor 2: 4 readings, 31.76 to 32.67, mean 32.25\n"
            "second 1, sensor 3: 6 readings, 36.76 to 37.74, mean 37.29\n"
            "second 2, sensor 1: 2 readings, 27.85 to 28.00, mean 27.93\n"
            "second 2, sensor 2: 4 readings, 32.85 to 33.00, mean 32.94\n"
            "second 2, sensor 3: 6 readings, 37.85 to 38.00, mean 37.95\n");
}

TEST_F(RunTest, ASecondIsShownWhenItIsOver) {
  start({.sensors = 1, .rate = 1});
  pass(absl::Milliseconds(1050));
  std::fflush(file_);
  EXPECT_EQ(size_, 0u);
  pass(absl::Milliseconds(50));
  std::fflush(file_);
  EXPECT_EQ(std::string(text_, size_), "second 0, sensor 1: 1 reading, 25.00 to 25.00, mean 25.00\n");
  run_.stop();
  EXPECT_THAT(output(0), HasSubstr("second 1, sensor 1: 1 reading, "));
}

TEST_F(RunTest, ASensorThatFailsDoesNotKeepTheOthersFromGoingOn) {
  start({.sensors = 2, .rate = 5, .seconds = 2, .fail = true});
  // Ten a second: the sixth would be due after half a second.
  pass(absl::Milliseconds(450));
  timers_ -= 1;
  clock_.advance(absl::Milliseconds(50));
  pass(absl::Milliseconds(1450));
  clock_.advance(absl::Milliseconds(50));
  const std::string text = output(1);
  EXPECT_THAT(text, HasSubstr("second 0, sensor 1: 5 readings, "));
  EXPECT_THAT(text, HasSubstr("second 0, sensor 2: 5 readings, "));
  EXPECT_THAT(text, HasSubstr("second 1, sensor 1: 5 readings, "));
  EXPECT_THAT(text, Not(HasSubstr("second 1, sensor 2")));
  EXPECT_THAT(log_.with("sensor 2 failed: no answer from the hardware"), SizeIs(1));
  EXPECT_THAT(log_.with("15 readings of 2 sensors in 2.0 s, 1 failed"), SizeIs(1));
}

TEST_F(RunTest, ItEndsWhenNoSensorIsLeft) {
  start({.sensors = 1, .rate = 10, .fail = true});
  pass(absl::Milliseconds(450));
  clock_.advance(absl::Milliseconds(50));
  EXPECT_THAT(output(1), HasSubstr("second 0, sensor 1: 5 readings, "));
}

TEST_F(RunTest, AStopLosesNoReading) {
  start({.sensors = 4, .rate = 1});
  pass(absl::Milliseconds(1900));
  run_.stop();
  const std::string text = output(0);
  for (const int sensor : {1, 2, 3, 4}) {
    EXPECT_THAT(text, HasSubstr("second 1, sensor " + std::to_string(sensor) + ": " + std::to_string(sensor) + " reading"));
  }
  EXPECT_THAT(log_.with("stopped after 20 readings of 4 sensors in 1.9 s; ended in this order: sensor "), SizeIs(1));
}

}  // namespace
}  // namespace relay
