#include "mothreads/stopping.h"

#include <cstdio>
#include <vector>

#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "mothreads/clock.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "mothreads/thread_group.h"
#include "tests/support/nothing_left.h"
#include "tests/support/sleeping.h"
#include "tests/support/virtual_time.h"

namespace mothreads::inline v0 {
namespace {

using ::testing::ExitedWithCode;

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
    deadline = late.node(internal::kAccess).deadline().value();
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

}  // namespace
}  // namespace mothreads
