#include "mothreads/stopping.h"

#include <signal.h>

#include <cstdio>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "mothreads/clock.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "mothreads/thread_group.h"
#include "tests/support/nothing_left.h"
#include "tests/support/program.h"
#include "tests/support/sleeping.h"
#include "tests/support/virtual_time.h"

namespace mothreads {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::ExitedWithCode;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Program;

// --- the deadline ---------------------------------------------------------------------------------------------------------

class StoppingTest : public testing::NothingLeft {
 protected:
  void SetUp() override {
    NothingLeft::SetUp();
    before_ = stop_deadline();
  }
  void TearDown() override {
    set_stop_deadline(before_);
    NothingLeft::TearDown();
  }

 private:
  absl::Duration before_;
};

using StoppingDeathTest = StoppingTest;

TEST_F(StoppingTest, TheDeadlineIsThirtySecondsUnlessSet) {
  EXPECT_EQ(stop_deadline(), absl::Seconds(30));
  EXPECT_EQ(kDefaultStopDeadline, absl::Seconds(30));
  set_stop_deadline(absl::Milliseconds(1500));
  EXPECT_EQ(stop_deadline(), absl::Milliseconds(1500));
  set_stop_deadline(absl::InfiniteDuration());
  EXPECT_EQ(stop_deadline(), absl::InfiniteDuration());
  set_stop_deadline(-absl::Seconds(1));
  EXPECT_EQ(stop_deadline(), absl::ZeroDuration());
}

TEST_F(StoppingTest, AStopInTimeLeavesNoTimer) {
  testing::VirtualClock clock;
  const UseClock use(clock);
  Signal told;
  Signal end;
  auto thread = Thread::run("slow", [&](Signal please_stop) {
    please_stop.wait();
    told.go();
    end.wait();
  });
  thread.stop();
  told.wait();
  EXPECT_EQ(clock.timers(), 1u);  // the deadline
  clock.advance(kDefaultStopDeadline - absl::Nanoseconds(1));
  end.go();
  thread.join();
  EXPECT_EQ(clock.timers(), 0u);
  clock.advance(absl::Hours(1));
}

TEST_F(StoppingTest, WithoutADeadlineAStopMayTakeAnyTime) {
  testing::VirtualClock clock;
  const UseClock use(clock);
  set_stop_deadline(absl::InfiniteDuration());
  Signal end;
  auto thread = Thread::run("slow", [&](Signal) { end.wait(); });
  thread.stop();
  EXPECT_EQ(clock.timers(), 0u);
  clock.advance(absl::Hours(24 * 365));
  end.go();
  thread.join();
}

TEST_F(StoppingTest, OneTimerWatchesOverAWholeTree) {
  testing::VirtualClock clock;
  const UseClock use(clock);
  Signal made;
  Signal end;
  auto top = Thread::run("top", [&](Signal) {
    ThreadGroup group("workers");
    for (int i = 0; i < 5; ++i) group.run("worker", [&](Signal) { end.wait(); });
    made.go();
    end.wait();
  });
  made.wait();
  top.stop();
  EXPECT_EQ(clock.timers(), 1u);
  end.go();
  top.join();
  EXPECT_EQ(clock.timers(), 0u);
}

TEST_F(StoppingTest, AStoppedGroupWhoseMembersHaveEndedMayLiveOn) {
  testing::VirtualClock clock;
  const UseClock use(clock);
  ThreadGroup empty("empty");
  ThreadGroup drained("drained");
  drained.run("polite", [](Signal please_stop) { please_stop.wait(); });
  empty.stop();
  drained.stop();
  drained.join();
  clock.advance(kDefaultStopDeadline);
  clock.advance(kUnwindGrace);
  EXPECT_EQ(clock.timers(), 0u);
  // Who comes later has a deadline of his own.
  drained.run("late", [](Signal please_stop) { please_stop.wait(); });
  drained.join();
  EXPECT_EQ(clock.timers(), 0u);
}

// Also where the group's own stop, which was earlier, is over.
TEST_F(StoppingTest, WhoComesLaterHasTheDeadlineOfThoseAboveTheGroup) {
  testing::VirtualClock clock;
  const UseClock use(clock);
  Signal told;
  Signal go_on;
  Instant deadline;
  const Instant start = clock.now();
  auto owner = Thread::run("owner", [&](Signal please_stop) {
    ThreadGroup group("workers");
    group.stop();
    clock.advance(absl::Seconds(10));
    told.go();
    please_stop.wait();
    clock.advance(absl::Seconds(10));
    const Thread late = group.run("late", [&](Signal) { go_on.wait(); });
    deadline = late.node().deadline().value();
    go_on.go();
  });
  told.wait();
  owner.stop().join();
  EXPECT_EQ(deadline, start + absl::ToChronoNanoseconds(absl::Seconds(10) + kDefaultStopDeadline));
}

// A thread that sleeps for ever and does not look at please_stop.
struct Stubborn {
  Signal never{"the answer that never comes"};
  ThreadHandle<void> thread = Thread::run("stubborn", [this](Signal) { never.wait(); });

  Stubborn() { testing::await_sleeping(thread.thread(), never.name()); }
};

// Defect T16: a thread that ignores please_stop made the program hang for ever, and nobody said which.
TEST_F(StoppingDeathTest, PastTheDeadlineTheProcessEndsWithAReport) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        testing::VirtualClock clock;
        const UseClock use(clock);
        Stubborn stubborn;
        stubborn.thread.stop();
        clock.advance(kDefaultStopDeadline);
      },
      ExitedWithCode(kExitDidNotStop),
      "\"stubborn\" was told to stop and did not by its deadline(.|\n)*"
      "thread \"stubborn\" waits for signal the answer that never comes, for [0-9.]+ s; please_stop was given");
}

TEST_F(StoppingDeathTest, AnotherRequestDoesNotPutTheDeadlineOff) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        testing::VirtualClock clock;
        const UseClock use(clock);
        Stubborn stubborn;
        stubborn.thread.stop();
        clock.advance(absl::Seconds(20));
        stubborn.thread.stop();
        clock.advance(absl::Seconds(10));
      },
      ExitedWithCode(kExitDidNotStop), "\"stubborn\" was told to stop and did not by its deadline");
}

TEST_F(StoppingDeathTest, ADestructorDoesNotWaitPastTheDeadline) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        testing::VirtualClock clock;
        const UseClock use(clock);
        Stubborn stubborn;
        const auto advancer = testing::advance_once_awaited(clock, kDefaultStopDeadline);
        stubborn.thread = {};
      },
      ExitedWithCode(kExitDidNotStop), "\"stubborn\" was told to stop and did not by its deadline");
}

TEST_F(StoppingDeathTest, TheDeadlineIsInheritedByWhatIsStartedLater) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        testing::VirtualClock clock;
        const UseClock use(clock);
        Signal late_runs;
        Signal never("never");
        auto parent = Thread::run("parent", [&](Signal please_stop) {
          please_stop.wait();
          clock.advance(absl::Seconds(20));
          const auto late = Thread::run("late", [&](Signal) {
            late_runs.go();  // the report shows what it waits on only once it runs
            never.wait();
          });
        });
        parent.stop();
        late_runs.wait();
        clock.advance(absl::Seconds(10));
      },
      ExitedWithCode(kExitDidNotStop), "\"parent\" was told to stop(.|\n)*thread \"late\" ");
}

TEST_F(StoppingDeathTest, WhoComesIntoAGroupAfterItsStopHasADeadlineOfItsOwn) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        testing::VirtualClock clock;
        const UseClock use(clock);
        const Signal never("never");
        ThreadGroup group("workers");
        group.run("polite", [](Signal please_stop) { please_stop.wait(); });
        group.stop();
        group.join();
        clock.advance(kDefaultStopDeadline - absl::Seconds(1));
        testing::await_sleeping(group.run("late", [&](Signal) { never.wait(); }), never.name());
        clock.advance(absl::Seconds(2));  // the group's own is over
        group.stop();                     // changes nothing
        clock.advance(kDefaultStopDeadline - absl::Seconds(3));
        std::fputs("it has had less than its time\n", stderr);
        clock.advance(absl::Seconds(1));
      },
      ExitedWithCode(kExitDidNotStop), "less than its time\n(.|\n)*\"late\" was told to stop and did not by its deadline");
}

TEST_F(StoppingDeathTest, TheReportShowsTheTreeAndWhoWasNotTold) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        testing::VirtualClock clock;
        const UseClock use(clock);
        const Signal never("never");
        ThreadGroup group(ThreadGroupOptions{.name = "workers", .stop_in_turn = true});
        for (const char* name : {"patient", "blocks the others"}) {
          testing::await_sleeping(group.run(name, [&](Signal) { never.wait(); }), never.name());
        }
        group.stop();
        clock.advance(kDefaultStopDeadline);
      },
      ExitedWithCode(kExitDidNotStop),
      "group \"workers\"; please_stop was given\n"
      "    \\|   thread \"blocks the others\" waits for signal never, [^\n]*; please_stop was given\n(.|\n)*"
      "\n    \\|   thread \"patient\" waits for signal never, [^\n]*; please_stop was not given\n");
}

TEST_F(StoppingDeathTest, OfManyThreadsTheReportNamesSomeAndSaysHowFarTheStopCame) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        testing::VirtualClock clock;
        const UseClock use(clock);
        const Signal never("never");
        ThreadGroup group("workers");
        std::vector<Thread> polite;
        for (int i = 0; i < 40; ++i) polite.push_back(group.run("polite", [](Signal please_stop) { please_stop.wait(); }));
        for (int i = 0; i < 110; ++i) group.run("stubborn", [&](Signal) { never.wait(); });
        group.stop();
        for (const Thread& thread : polite) thread.stopped().wait();
        clock.advance(kDefaultStopDeadline);
      },
      ExitedWithCode(kExitDidNotStop), "\n    \\| and 11 more\n    \\| threads: 40 of 150 ended\n    \\| The process ends");
}

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
