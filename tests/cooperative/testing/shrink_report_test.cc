// The report of for_each_seed() on a failure that it is to shrink.

#include <unistd.h>

#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cooperative/testing/world.h"
#include "tests/cooperative/testing/planted_faults.h"
#include "tests/support/environment.h"
#include "tests/support/watchdog.h"

namespace cooperative::inline v0::testing {
namespace {

using mothreads::testing::EnvironmentVariable;
using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::ExitedWithCode;
using ::testing::HasSubstr;
using ::testing::KilledBySignal;

constexpr WorldOptions kEverywhere{.switch_at = SwitchAt::every_operation, .shrink = true};

class ShrinkReportTest : public ::testing::Test {
  const NoWorldVariables none_{};
};

void throw_when_lost(World& world) {
  if (count_by_two(world) != 2) throw std::runtime_error("an update was lost");
}

TEST_F(ShrinkReportTest, AnExceptionIsPassedOnAfterTheReport) {
  ::testing::internal::CaptureStderr();
  EXPECT_THROW(for_each_seed(100, throw_when_lost, kEverywhere), std::runtime_error);
  const std::string report = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(report, AllOf(HasSubstr("an exception left the test: an update was lost"), ContainsRegex("Shrunk from [0-9]+ switches to 1 in [0-9]+ runs."),
                            ContainsRegex("  1. (one|two) \\(id [23]\\)  (before it enters|after it leaves) Lock \"counter\"  switch to (one|two) \\(id [23]\\)"),
                            ContainsRegex("WORLD_SEED=[0-9]+ WORLD_SWITCHES=[23].[0-9]+:[23] ")));
}

TEST_F(ShrinkReportTest, TheListOfTheReportRepeatsTheRunInThisProcess) {
  ::testing::internal::CaptureStderr();
  EXPECT_THROW(for_each_seed(100, throw_when_lost, kEverywhere), std::runtime_error);
  const std::string report = ::testing::internal::GetCapturedStderr();
  const std::size_t seed_at = report.find("WORLD_SEED=") + 11;
  const std::size_t list_at = report.find("WORLD_SWITCHES=") + 15;
  const EnvironmentVariable seed("WORLD_SEED", report.substr(seed_at, report.find(' ', seed_at) - seed_at).c_str());
  const EnvironmentVariable switches("WORLD_SWITCHES", report.substr(list_at, report.find(' ', list_at) - list_at).c_str());
  EXPECT_THROW(for_each_seed(100, throw_when_lost, kEverywhere), std::runtime_error);
  const EnvironmentVariable none("WORLD_SWITCHES", "none");
  EXPECT_NO_THROW(for_each_seed(100, throw_when_lost, kEverywhere));
}

TEST_F(ShrinkReportTest, AFailedExpectationIsReported) {
  EXPECT_EXIT(
      {
        for_each_seed(100, [](World& world) { EXPECT_EQ(count_by_two(world), 2); }, kEverywhere);
        std::fflush(nullptr);
        _exit(HasFailure() ? 3 : 0);  // what the process before the fork() left behind is no leak of this one
      },
      ExitedWithCode(3), "the test has failed.*Shrunk from [0-9]+ switches to 1 in");
}

TEST_F(ShrinkReportTest, ADeadlockIsReportedBeforeTheProgramEnds) {
  EXPECT_EXIT(for_each_seed(100, lock_order, kEverywhere),
              KilledBySignal(SIGABRT), "a deadlock.*enters lock.*Shrunk from [0-9]+ switches to 1 in.*Lock \"(accounts|journal)\".*WORLD_SWITCHES=");
}

TEST_F(ShrinkReportTest, NothingIsSaidOfRunsThatAreFine) {
  ::testing::internal::CaptureStderr();
  for_each_seed(20, [](World& world) { world.run([] {}); }, kEverywhere);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace cooperative::testing
