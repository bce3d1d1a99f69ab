#include "mothreads/when_stuck.h"

#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "mothreads/clock.h"
#include "mothreads/member.h"
#include "mothreads/signal.h"
#include "mothreads/stopping.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "mothreads/thread_group.h"
#include "tests/support/nothing_left.h"
#include "tests/support/threads.h"

namespace mothreads::inline v0 {
namespace {

using ::testing::ElementsAre;
using ::testing::ExitedWithCode;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::LogLines;
using testing::until_stopped;

// A plugin owns what it uses, as the lost must.
struct Plugin {
  Signal begun;
  Signal may_end;

  auto function() const {
    return [begun = begun, may_end = may_end](const Signal&) {
      begun.go();
      may_end.wait();
    };
  }

  // Begins it in a group, and returns when it is stuck.
  Member begin_in(ThreadGroup& plugins) const {
    const Member member = plugins.run("stuck", function());
    begun.wait();
    return member;
  }
};

class WhenStuckTest : public testing::NothingLeft {
 protected:
  ThreadGroupOptions losing(absl::Duration limit = absl::Seconds(5)) { return {.stop_limit = limit, .when_stuck = WhenStuck::mark_lost}; }

  // Of a lost one: `stopped` is the last that it does of its own.
  void let_end(const Plugin& plugin, const Member& member) {
    plugin.may_end.go();
    member.stopped().wait();
  }

  testing::VirtualClock clock_;
  const UseClock use_{clock_};
  std::atomic<bool> plugins_have_failed_{false};
};
using WhenStuckDeathTest = WhenStuckTest;

TEST_F(WhenStuckTest, AGroupGoesOnWithoutItsStuckMember) {
  LogLines log;
  const Plugin stuck;
  Member member;
  {
    ThreadGroup plugins("plugins", losing());
    member = stuck.begin_in(plugins);
    const Member polite = plugins.run("polite", until_stopped);
    plugins.stop();
    polite.stopped().wait();
    clock_.advance(absl::Seconds(5) - absl::Nanoseconds(1));
    EXPECT_FALSE(member.end().has_value());
    clock_.advance(absl::Nanoseconds(1));
    try {
      plugins.join();
      FAIL();
    } catch (const ThreadsFailed& failed) {
      ASSERT_THAT(failed.ends(), SizeIs(1));
      EXPECT_EQ(failed.ends()[0].name, "stuck");
      EXPECT_EQ(failed.ends()[0].how, How::lost);
      EXPECT_THROW(std::rethrow_exception(failed.ends()[0].exception), WasLost);
    }
  }
  EXPECT_THAT(log.with("\"plugins\" was told to stop and did not by its deadline"), SizeIs(1));
  EXPECT_FALSE(member.stopped());  // it runs
  EXPECT_EQ(member.end().value().how, How::lost);
  EXPECT_THAT(lost_members(), ElementsAre(member));
  EXPECT_EQ(unclaimed_failures(), 0);  // join() gave it

  let_end(stuck, member);
  EXPECT_EQ(member.end().value().how, How::returned);
  EXPECT_THAT(lost_members(), IsEmpty());
  EXPECT_THAT(log.with("\"stuck\", which was marked lost, has ended"), SizeIs(1));
}

TEST_F(WhenStuckTest, WhoTakesNoFailureFindsItInTheLogAndTheExitCode) {
  LogLines log;
  const Plugin stuck;
  Member member;
  {
    ThreadGroup plugins("plugins", losing());
    member = stuck.begin_in(plugins);
    plugins.stop();
    clock_.advance(absl::Seconds(5));
  }
  EXPECT_EQ(testing::take_unclaimed_failures(), 1);
  EXPECT_THAT(log.with("thread \"stuck\", which nobody joined: thread \"stuck\" did not stop by its deadline"), SizeIs(1));
  let_end(stuck, member);
}

TEST_F(WhenStuckTest, AHandleThrowsWasLostAndLetsGo) {
  const Plugin stuck;
  Member member;
  {
    ThreadGroup plugins("plugins", losing());
    auto handle = Thread::run({.name = "stuck", .parent = plugins}, stuck.function());
    member = handle;
    stuck.begun.wait();
    handle.stop();
    clock_.advance(kDefaultStopDeadline);  // its own: the group was not told
    EXPECT_THROW(handle.join(), WasLost);
    EXPECT_THROW(handle.join(), WasLost);
    EXPECT_TRUE(handle.owns());
  }
  EXPECT_EQ(unclaimed_failures(), 0);  // join() gave it
  let_end(stuck, member);
}

TEST_F(WhenStuckTest, AHandleThatIsDestroyedOrReleasedReportsTheLossOnce) {
  for (const bool releases : {false, true}) {
    const Plugin stuck;
    Member member;
    {
      ThreadGroup plugins("plugins", losing());
      auto handle = Thread::run({.name = "stuck", .parent = plugins}, stuck.function());
      member = handle;
      stuck.begun.wait();
      handle.stop();
      clock_.advance(kDefaultStopDeadline);
      if (releases) handle.release();
    }
    EXPECT_EQ(testing::take_unclaimed_failures(), 1);  // the group had it last
    let_end(stuck, member);
  }
}

// An exception that it throws then is a failure of its own.
TEST_F(WhenStuckTest, ALostThreadMayFailAfterAll) {
  LogLines log;
  Signal may_end;
  Member member;
  {
    ThreadGroup plugins("plugins", losing());
    member = plugins.run("stuck", [may_end](const Signal&) {
      may_end.wait();
      throw std::runtime_error("no disk");
    });
    plugins.stop();
    clock_.advance(absl::Seconds(5));
    EXPECT_THROW(plugins.join(), ThreadsFailed);
  }
  may_end.go();
  member.stopped().wait();
  EXPECT_EQ(member.end().value().how, How::threw);
  EXPECT_EQ(testing::take_unclaimed_failures(), 1);
  EXPECT_THAT(log.with("no disk"), SizeIs(1));
}

// The group's owner goes on when its function has returned, which may use what the owner has.
TEST_F(WhenStuckTest, NobodyGoesOnBeforeTheFunctionIsTold) {
  const Plugin stuck;
  Member member;
  {
    std::string text;
    bool was_marked = true;
    ThreadGroup plugins("plugins", {.stop_limit = absl::Seconds(1), .when_stuck = [&](const StopReport& report) {
                                      text = report.text();
                                      was_marked = plugins_have_failed_;
                                    }});
    member = stuck.begin_in(plugins);
    plugins.stop();
    auto joiner = Thread::run("joiner", [&](const Signal&) {
      EXPECT_THROW(plugins.join(), ThreadsFailed);
      plugins_have_failed_ = true;
    });
    clock_.advance(absl::Seconds(1));
    joiner.join();
    EXPECT_FALSE(was_marked);
    EXPECT_THAT(text, HasSubstr("\"stuck\""));
  }
  let_end(stuck, member);
}

TEST_F(WhenStuckTest, TheResultOfALostThreadThatEndsInTimeIsItsHandles) {
  Signal may_end;
  ThreadGroup plugins("plugins", losing());
  auto handle = Thread::run({.name = "stuck", .parent = plugins}, [may_end](const Signal&) {
    may_end.wait();
    return 5;
  });
  plugins.stop();
  clock_.advance(absl::Seconds(5));
  EXPECT_THROW(static_cast<void>(handle.join()), WasLost);
  may_end.go();
  handle.stopped().wait();
  EXPECT_EQ(handle.join(), 5);
}

// Only the innermost is stuck: who waits for it goes on, and is not lost.
TEST_F(WhenStuckTest, WhoWaitsForAStuckOneIsNotMarked) {
  const Plugin stuck;
  Member outer;
  Member inner;
  {
    ThreadGroup plugins("plugins", losing());
    outer = plugins.run("outer", [&, function = stuck.function()](const Signal& please_stop) {
      auto child = Thread::run("inner", function);
      inner = child;
      child.release();
      please_stop.wait();
    });
    stuck.begun.wait();
    plugins.stop();
    clock_.advance(absl::Seconds(5));
    outer.stopped().wait();
    EXPECT_EQ(outer.end().value().how, How::returned);
    EXPECT_EQ(inner.end().value().how, How::lost);
    EXPECT_NO_THROW(plugins.join());
  }
  EXPECT_EQ(testing::take_unclaimed_failures(), 1);  // nobody had the inner one's handle
  let_end(stuck, inner);
}

TEST_F(WhenStuckTest, TheNextRoundMarksWhoDoesNotGoOn) {
  const Plugin stuck;
  Member outer;
  Member inner;
  {
    ThreadGroup plugins("plugins", losing());
    outer = plugins.run("outer", [&, function = stuck.function(), may_end = stuck.may_end](const Signal&) {
      auto child = Thread::run("inner", function);
      inner = child;
      child.release();
      may_end.wait();
    });
    stuck.begun.wait();
    plugins.stop();
    clock_.advance(absl::Seconds(5));
    EXPECT_EQ(inner.end().value().how, How::lost);
    EXPECT_FALSE(outer.end().has_value());
    clock_.advance(kUnwindGrace);
    EXPECT_EQ(outer.end().value().how, How::lost);
    EXPECT_THROW(plugins.join(), ThreadsFailed);
    EXPECT_THAT(lost_members(), ElementsAre(inner, outer));
  }
  EXPECT_EQ(testing::take_unclaimed_failures(), 1);
  stuck.may_end.go();
  outer.stopped().wait();
  inner.stopped().wait();
}

TEST_F(WhenStuckTest, TheStopOfAllGoesOnToo) {
  const Plugin stuck;
  Member member;
  auto service = Thread::run("service", [&](const Signal& please_stop) {
    ThreadGroup plugins("plugins", {.when_stuck = WhenStuck::mark_lost});  // as much time as the service has
    member = plugins.run("stuck", stuck.function());
    please_stop.wait();
    EXPECT_THROW(plugins.join(), ThreadsFailed);
  });
  stuck.begun.wait();
  service.stop();
  clock_.advance(kDefaultStopDeadline);
  service.join();
  EXPECT_EQ(member.end().value().how, How::lost);
  let_end(stuck, member);
}

TEST_F(WhenStuckTest, AFunctionIsTold) {
  const Plugin stuck;
  Member member;
  std::vector<std::string> reports;
  std::vector<EndRecord> lost;
  ThreadGroup plugins("plugins", {.stop_limit = absl::Seconds(1),
                                  .when_stuck = [&, only_moved = std::make_unique<int>(1)](const StopReport& report) {
                                    reports.push_back(report.text());
                                    lost = report.lost();
                                    throw std::runtime_error("the alarm is broken");  // is logged
                                  }});
  member = stuck.begin_in(plugins);
  plugins.stop();
  clock_.advance(absl::Seconds(1));
  ASSERT_THAT(reports, SizeIs(1));
  EXPECT_THAT(reports[0], HasSubstr("thread \"stuck\""));
  ASSERT_THAT(lost, SizeIs(1));
  EXPECT_EQ(lost[0].name, "stuck");
  EXPECT_THROW(plugins.join(), ThreadsFailed);
  let_end(stuck, member);
}

TEST_F(WhenStuckTest, AMemberThatStopsInTurnIsFollowedByTheNext) {
  const Plugin stuck;
  ThreadGroup plugins("plugins", {.stop_in_turn = true, .stop_limit = absl::Seconds(1), .when_stuck = WhenStuck::mark_lost});
  const Member first = plugins.run("first", until_stopped);
  const Member last = stuck.begin_in(plugins);
  plugins.stop();
  EXPECT_FALSE(first.please_stop());
  clock_.advance(absl::Seconds(1));
  first.stopped().wait();
  EXPECT_EQ(first.end().value().how, How::returned);  // it had not been told
  EXPECT_THROW(plugins.join(), ThreadsFailed);
  let_end(stuck, last);
}

TEST_F(WhenStuckTest, AGroupWithinAGroupHasItsChoice) {
  const Plugin stuck;
  ThreadGroup plugins("plugins", losing());
  ThreadGroup inner("inner", {.parent = plugins});
  const Member member = stuck.begin_in(inner);
  plugins.stop();
  clock_.advance(absl::Seconds(5));
  EXPECT_THROW(inner.join(), ThreadsFailed);
  let_end(stuck, member);
}

TEST_F(WhenStuckTest, AShortLimitOfItsOwnHoldsWithinALongStop) {
  const Plugin stuck;
  Member member;
  auto service = Thread::run("service", [&](const Signal& please_stop) {
    ThreadGroup plugins("plugins", losing(absl::Seconds(5)));
    member = plugins.run("stuck", stuck.function());
    please_stop.wait();
    EXPECT_THROW(plugins.join(), ThreadsFailed);
  });
  stuck.begun.wait();
  service.stop();  // has 30 s
  clock_.advance(absl::Seconds(5));
  service.join();
  let_end(stuck, member);
}

TEST_F(WhenStuckDeathTest, WithoutAChoiceTheProcessEnds) {
  EXPECT_EXIT(
      {
        testing::VirtualClock clock;
        const UseClock use(clock);
        ThreadGroup plugins("plugins", {.stop_limit = absl::Seconds(1)});
        const Plugin stuck;
        stuck.begin_in(plugins);
        plugins.stop();
        clock.advance(absl::Seconds(1));
      },
      ExitedWithCode(kExitDidNotStop), "\"plugins\" was told to stop and did not by its deadline");
}

TEST_F(WhenStuckDeathTest, AGroupMayChooseTheEndWithinOneThatLoses) {
  EXPECT_EXIT(
      {
        testing::VirtualClock clock;
        const UseClock use(clock);
        ThreadGroup plugins("plugins", losing(absl::Seconds(1)));
        ThreadGroup core("core", {.parent = plugins, .when_stuck = WhenStuck::end_process});
        const Plugin stuck;
        stuck.begin_in(core);
        plugins.stop();
        clock.advance(absl::Seconds(1));
      },
      ExitedWithCode(kExitDidNotStop), "\"stuck\"");
}

}  // namespace
}  // namespace mothreads
