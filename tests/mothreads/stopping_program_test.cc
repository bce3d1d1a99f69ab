#include <signal.h>

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mothreads/stopping.h"
#include "tests/support/nothing_left.h"
#include "tests/support/program.h"
#include "tests/support/sleeping.h"

namespace mothreads::inline v0 {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Program;

// --- whole programs -------------------------------------------------------------------------------------------------------

class ProgramTest : public testing::NothingLeft {};

// Theirs: test_sigint, test_sigterm. Defect S2: the program went on as if nothing had happened.
TEST_F(ProgramTest, SigtermAndSigintEndItInOrder) {
  for (const int number : {SIGTERM, SIGINT}) {
    for (const char* scenario : {"waits", "shutdown signal"}) {
      Program program("run_program", {scenario});
      program.await_output("waiting\n");
      program.send_signal(number);
      EXPECT_EQ(program.wait(), 0) << program.output();
      EXPECT_THAT(program.output(), HasSubstr("EXIT DETECTED\n"));
      EXPECT_THAT(program.output(), HasSubstr("run() has returned 0\n"));
    }
  }
}

TEST_F(ProgramTest, AfterACleanSignalledStopItsOwnValueStands) {
  Program program("run_program", {"waits, returns 42"});
  program.await_output("waiting\n");
  program.send_signal(SIGINT);
  EXPECT_EQ(program.wait(), 42) << program.output();
}

// Theirs: test_no_sigint.
TEST_F(ProgramTest, WithoutASignalItEndsByItself) {
  Program program("run_program", {"children end, shutdown signal"});
  EXPECT_EQ(program.wait(), 0) << program.output();
  EXPECT_THAT(program.output(), HasSubstr("child ended\n"));
  EXPECT_THAT(program.output(), HasSubstr("timeout detected\n"));
  EXPECT_THAT(program.output(), Not(HasSubstr("EXIT DETECTED")));
}

TEST_F(ProgramTest, SignalsThatItDoesNotTakeKillIt) {
  Program program("run_program", {"does not take signals"});
  program.await_output("waiting\n");
  program.send_signal(SIGTERM);
  EXPECT_EQ(program.wait(), -SIGTERM) << program.output();
}

// Defect S1: all was done inside the signal handler, which waited for a thread that waited for main's lock.
TEST_F(ProgramTest, ASignalWhileMainHoldsALockThatAChildNeeds) {
  Program program("run_program", {"holds a lock"});
  program.await_output("waiting\n");
  program.send_signal(SIGTERM);
  EXPECT_EQ(program.wait(), 0) << program.output();
  EXPECT_THAT(program.output(), ContainsRegex("main still has the lock\n(.|\n)*child has the lock\n"));
}

TEST_F(ProgramTest, TheReportListsForeignThreads) {
  Program program("run_program", {"foreign, short deadline"});
  program.await_output("waiting\n");
  program.send_signal(SIGTERM);
  EXPECT_EQ(program.wait(), kExitDidNotStop) << program.output();
  EXPECT_THAT(program.output(), HasSubstr("thread \"camera\\ndriver (foreign)\""));
  EXPECT_THAT(program.output(), ContainsRegex("driver \\(foreign\\)\" waits for signal the next frame(.|\n)*, for [0-9.]+ s; no stop waits for it"));
}

TEST_F(ProgramTest, TheStopDoesNotWaitForForeignThreads) {
  Program program("run_program", {"foreign"});
  program.await_output("waiting\n");
  program.send_signal(SIGTERM);
  EXPECT_EQ(program.wait(), 0) << program.output();
  EXPECT_THAT(program.output(), AllOf(HasSubstr("EXIT DETECTED"), Not(HasSubstr("it was waited for"))));
}

TEST_F(ProgramTest, TheSecondSignalReportsAndTheThirdEndsIt) {
  for (const int last : {SIGINT, SIGTERM}) {
    Program program("run_program", {"stubborn, no deadline"});
    program.await_output("waiting\n");
    program.send_signal(SIGINT);
    program.await_output("Stop requested by SIGINT");
    program.send_signal(SIGINT);
    program.await_output("SIGINT a second time; who has not stopped:");
    program.await_output("thread \"stubborn\" waits for signal the answer that never comes");
    program.send_signal(last);
    EXPECT_EQ(program.wait(), 128 + last) << program.output();
  }
}

TEST_F(ProgramTest, TheFirstSignalAnnouncesTheStopAndTheEndOfTheWorkBringsIt) {
  for (const int number : {SIGTERM, SIGINT}) {
    Program program("run_program", {"drains"});
    program.await_output("waiting\n");
    program.send_signal(number);
    program.await_output("draining, not stopped\n");
    program.close_input();
    EXPECT_EQ(program.wait(), 0) << program.output();
    const std::string output = program.output();
    const std::size_t done = output.find("work done, not stopped\n");
    ASSERT_NE(done, std::string::npos) << output;
    EXPECT_THAT(output.substr(done), HasSubstr("EXIT DETECTED\n"));  // the log may have a line between them
  }
}

TEST_F(ProgramTest, ADrainThatTakesTooLongEndsWithItsTime) {
  Program program("run_program", {"drains, short"});
  program.await_output("waiting\n");
  program.send_signal(SIGTERM);
  EXPECT_EQ(program.wait(), 0) << program.output();
  EXPECT_THAT(program.output(), HasSubstr("the drain was not done in 10ms; 1 hold: job 17.  Stopping..."));
  EXPECT_THAT(program.output(), HasSubstr("EXIT DETECTED\n"));
}

// The second changes nothing but that it reports.
TEST_F(ProgramTest, DuringADrainTheSecondSignalNamesItsHolds) {
  Program program("run_program", {"drains"});
  program.await_output("waiting\n");
  program.send_signal(SIGTERM);
  program.await_output("draining, not stopped\n");
  program.send_signal(SIGTERM);
  program.await_output("SIGTERM a second time; who has not stopped:");
  program.await_output("the drain waits for 1 hold: job 17");
  program.close_input();
  EXPECT_EQ(program.wait(), 0) << program.output();
  EXPECT_THAT(program.output(), HasSubstr("work done, not stopped\nEXIT DETECTED\n"));
}

TEST_F(ProgramTest, DuringADrainTheThirdSignalEndsTheProgram) {
  Program program("run_program", {"drains"});
  program.await_output("waiting\n");
  program.send_signal(SIGTERM);
  program.await_output("draining, not stopped\n");
  program.send_signal(SIGTERM);
  program.await_output("the drain waits for 1 hold: job 17");
  program.send_signal(SIGINT);
  EXPECT_EQ(program.wait(), 128 + SIGINT) << program.output();
}

// Counted over both: the second signal comes during the drain, the third after it.
TEST_F(ProgramTest, AThirdSignalAfterTheDrainEndsTheProgram) {
  Program program("run_program", {"drains, then hangs"});
  program.await_output("waiting\n");
  program.send_signal(SIGTERM);
  program.await_output("draining, not stopped\n");
  program.send_signal(SIGTERM);
  program.await_output("the drain waits for 1 hold: job 17");
  program.close_input();
  program.await_output("EXIT DETECTED\n");
  program.send_signal(SIGTERM);
  EXPECT_EQ(program.wait(), 128 + SIGTERM) << program.output();
}

// Defect T16.
TEST_F(ProgramTest, WhoIgnoresPleaseStopIsNamedWithItsWaitAndItsStack) {
  Program program("run_program", {"stubborn, short deadline"});
  program.await_output("waiting\n");
  program.send_signal(SIGTERM);
  EXPECT_EQ(program.wait(), kExitDidNotStop) << program.output();
  EXPECT_THAT(program.output(), HasSubstr("\"main\" was told to stop and did not by its deadline"));
  EXPECT_THAT(program.output(), HasSubstr("\n    |   thread \"parent\" waits for signal stopped of stubborn, for "));
  EXPECT_THAT(program.output(),
              ContainsRegex("\n    \\|     thread \"stubborn\" waits for signal the answer that never comes, for [0-9.]+ s; "
                            "please_stop was given\n"));
  EXPECT_THAT(program.output(), HasSubstr(" ignores_please_stop()\n"));
  EXPECT_THAT(program.output(), HasSubstr("The process ends with exit code 113"));
  EXPECT_THAT(program.output(), Not(HasSubstr("run() has returned")));
}

// Defect T15: a child that failed, and nobody joined, left the exit code at 0.
TEST_F(ProgramTest, AFailureThatNobodyJoinedShowsInTheExitCode) {
  Program zero("run_program", {"child fails, returns 0"});
  EXPECT_EQ(zero.wait(), kExitUnclaimedFailure) << zero.output();
  EXPECT_THAT(zero.output(), HasSubstr("Problem in thread \"child\", which nobody joined: bad worker failure"));

  Program three("run_program", {"child fails, returns 3"});
  EXPECT_EQ(three.wait(), 3) << three.output();

  Program plain("plain_program", {"child fails"});
  EXPECT_EQ(plain.wait(), kExitUnclaimedFailure) << plain.output();
  EXPECT_THAT(plain.output(), HasSubstr("bad worker failure"));
}

// Theirs: test_failure_during_wait_for_shutdown, as far as the exit code goes.
TEST_F(ProgramTest, AFailureDuringTheWaitForShutdownEndsItWithOne) {
  Program program("run_program", {"child fails, shutdown signal"});
  EXPECT_EQ(program.wait(), 1) << program.output();
  EXPECT_THAT(program.output(), HasSubstr("the main thread failed: A thread failed: \"child\": bad worker failure"));
  EXPECT_THAT(program.output(), Not(HasSubstr("this is never said")));
}

TEST_F(ProgramTest, AMainFunctionThatThrowsEndsItWithOne) {
  Program program("run_program", {"throws"});
  EXPECT_EQ(program.wait(), 1) << program.output();
  EXPECT_THAT(program.output(), HasSubstr("the main thread failed: bad main failure"));

  Program number("run_program", {"throws a number"});
  EXPECT_EQ(number.wait(), 1) << number.output();
  EXPECT_THAT(number.output(), HasSubstr("the main thread failed: an exception of type int"));
}

// Theirs: test_self_stop. Defect S4: a stop by another thread told nobody.
TEST_F(ProgramTest, AWorkerMayStopTheProgram) {
  Program program("run_program", {"worker stops"});
  EXPECT_EQ(program.wait(), 0) << program.output();
  EXPECT_THAT(program.output(), HasSubstr("EXIT DETECTED\n"));
}

TEST_F(ProgramTest, ExitStopsTheChildrenAndKeepsItsCode) {
  Program in_run("run_program", {"exits"});
  EXPECT_EQ(in_run.wait(), 3) << in_run.output();
  EXPECT_THAT(in_run.output(), HasSubstr("child stopped\n"));

  Program plain("plain_program", {"exits with a child"});
  EXPECT_EQ(plain.wait(), 3) << plain.output();
  EXPECT_THAT(plain.output(), HasSubstr("child stopped\n"));
}

TEST_F(ProgramTest, WhatAProgramThatOnlyLogsHasLoggedIsWritten) {
  Program program("plain_program", {"only logs"});
  EXPECT_EQ(program.wait(), 0) << program.output();
  EXPECT_THAT(program.output(), HasSubstr("line 1000\n"));
}

TEST_F(ProgramTest, AReturnFromMainStopsTheChildren) {
  Program program("plain_program", {"returns with a child"});
  EXPECT_EQ(program.wait(), 0) << program.output();
  EXPECT_THAT(program.output(), HasSubstr("child stopped\n"));
}

TEST_F(ProgramTest, AnExitByAWorkerEndsItAtOnceAndSaysWhatIsWrongWithIt) {
  Program program("run_program", {"worker exits"});
  EXPECT_EQ(program.wait(), 5) << program.output();
  EXPECT_THAT(program.output(), HasSubstr("exit() was called by \"worker\", so the others cannot be stopped"));
}

// Theirs: test_exit.
TEST_F(ProgramTest, ALineExitOnItsInputStopsIt) {
  for (const char* line : {"exit\n", " exit \r\n"}) {
    Program program("run_program", {"shutdown signal or exit"});
    program.await_output("waiting\n");
    program.write_input(line);
    EXPECT_EQ(program.wait(), 0) << program.output();
    EXPECT_THAT(program.output(), HasSubstr("EXIT DETECTED\n"));
  }
}

TEST_F(ProgramTest, OtherLinesOnItsInputDoNotStopIt) {
  Program program("run_program", {"watches input"});
  program.write_input("no exit\nexiting\n\n" + std::string(10'000, 'x') + "exit\nex");
  program.await_output("read\n");
  EXPECT_THAT(program.output(), Not(HasSubstr("EXIT DETECTED")));
  program.write_input("it\n");
  program.close_input();
  EXPECT_EQ(program.wait(), 0) << program.output();
  EXPECT_THAT(program.output(), HasSubstr("EXIT DETECTED\n"));
}

// Defect S5: the main thread looked once a second, and the input at its end was looked at for ever.
TEST_F(ProgramTest, TheEndOfItsInputCostsNothingAndStopsNothing) {
  Program program("run_program", {"watches input"});
  program.write_input("hello\n");
  program.await_output("read\n");
  program.close_input();
  program.await_output("asleep\n");
  EXPECT_THAT(program.output(), Not(HasSubstr("EXIT DETECTED")));
  program.send_signal(SIGTERM);
  EXPECT_EQ(program.wait(), 0) << program.output();
}

// Theirs: test_sigint_no_exit. Defect S8: the thread that watched the input made the program abort as it ended.
TEST_F(ProgramTest, ASignalEndsItWhateverItsInputIs) {
  for (const auto input : {Program::Input::pipe, Program::Input::null_device, Program::Input::closed}) {
    Program program("run_program", {"shutdown signal or exit"}, input);
    program.await_output("waiting\n");
    program.send_signal(SIGINT);
    EXPECT_EQ(program.wait(), 0) << program.output();
    EXPECT_THAT(program.output(), HasSubstr("EXIT DETECTED\n"));
  }
}

TEST_F(ProgramTest, APlainMainMayWaitForTheSignals) {
  for (const int number : {SIGTERM, SIGINT}) {
    Program program("plain_program", {"shutdown signal"});
    program.await_output("waiting\n");
    program.send_signal(number);
    EXPECT_EQ(program.wait(), 0) << program.output();
    EXPECT_THAT(program.output(), HasSubstr("EXIT DETECTED\n"));
  }
}

// Theirs: programs/simple_test.py.
TEST_F(ProgramTest, WithoutChildrenTheWaitForThemEndsAtOnce) {
  Program program("plain_program", {"no children"});
  EXPECT_EQ(program.wait(), 0) << program.output();
  EXPECT_THAT(program.output(), HasSubstr("hello\n"));
}

// Theirs: test_stop_does_not_throw_after_warning.
TEST_F(ProgramTest, TheStopAtExitIsHarmlessAfterAnother) {
  Program program("plain_program", {"stops by itself"});
  EXPECT_EQ(program.wait(), 0) << program.output();
  EXPECT_THAT(program.output(), ContainsRegex("child stopped\n(.|\n)*All threads have shutdown\n"));
}

// Theirs: smoke_test_import.py.
TEST_F(ProgramTest, AProgramThatOnlyUsedATillEnds) {
  Program program("plain_program", {"till"});
  EXPECT_EQ(program.wait(), 0) << program.output();
}

}  // namespace
}  // namespace mothreads
