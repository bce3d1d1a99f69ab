// Fibers that do not stop by their deadline, where a group has chosen that the stop goes on without them.

#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/fiber_group.h"
#include "cooperative/sleep.h"
#include "mothreads/member.h"
#include "mothreads/signal.h"
#include "mothreads/stopping.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "mothreads/when_stuck.h"
#include "tests/support/log_lines.h"
#include "tests/support/nothing_left.h"
#include "tests/support/virtual_time.h"

namespace cooperative {
namespace {

using mothreads::How;
using mothreads::Member;
using mothreads::Signal;
using mothreads::WasLost;
using mothreads::WhenStuck;
using mothreads::testing::LogLines;
using mothreads::testing::on_virtual_time;
using mothreads::testing::VirtualClock;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class FiberWhenStuckTest : public mothreads::testing::NothingLeft {
 protected:
  static void SetUpTestSuite() { mothreads::testing::open_symbol_files(); }
};

// Not even cancelling ends it.
void ignores_all(const Signal& may_end) {
  const NoCancel whole;
  may_end.wait();
}

// Also those that are made by others.
void begin_all() {
  for (int i = 0; i < 3; ++i) yield();
}

void pass(VirtualClock& clock, absl::Duration time) {
  clock.advance(time);
  yield();
  yield();
}

TEST_F(FiberWhenStuckTest, AGroupGoesOnWithoutItsStuckMember) {
  LogLines log;
  on_virtual_time([](VirtualClock& clock) {
    Signal may_end;
    std::vector<Member> member;
    {
      FiberGroup plugins("plugins", {.stop_limit = absl::Seconds(5), .when_stuck = WhenStuck::mark_lost});
      auto stuck = spawn({.name = "stuck", .parent = plugins}, ignores_all, may_end);
      member.push_back(stuck);
      stuck.release();
      begin_all();
      plugins.stop();
      pass(clock, absl::Seconds(5));
      EXPECT_EQ(plugins.size(), 1u);  // it has time to unwind
      pass(clock, mothreads::kUnwindGrace);
      EXPECT_EQ(plugins.size(), 0u);
      try {
        plugins.join();
        FAIL();
      } catch (const FibersFailed& failed) {
        ASSERT_THAT(failed.ends(), SizeIs(1));
        EXPECT_EQ(failed.ends()[0].how, How::lost);
        EXPECT_THROW(std::rethrow_exception(failed.ends()[0].exception), WasLost);
      }
    }
    EXPECT_FALSE(member[0].stopped());
    EXPECT_EQ(member[0].end().value().how, How::lost);
    EXPECT_THAT(mothreads::lost_members(), ElementsAre(member[0]));
    pass(clock, absl::Hours(1));
    may_end.go();
    member[0].stopped().wait();
    EXPECT_EQ(member[0].end().value().how, How::returned);
    EXPECT_THAT(mothreads::lost_members(), IsEmpty());
  });
  EXPECT_THAT(log.with("\"plugins\" was told to stop and did not by its deadline"), SizeIs(1));
}

TEST_F(FiberWhenStuckTest, AHandleThrowsWasLost) {
  on_virtual_time([](VirtualClock& clock) {
    Signal may_end;
    {
      FiberGroup plugins("plugins", {.stop_limit = absl::Seconds(5), .when_stuck = WhenStuck::mark_lost});
      auto stuck = spawn({.name = "stuck", .parent = plugins}, ignores_all, may_end);
      begin_all();
      plugins.stop();
      clock.advance(absl::Seconds(5));
      yield();
      clock.advance(mothreads::kUnwindGrace);
      EXPECT_THROW(stuck.join(), WasLost);
      EXPECT_THROW(stuck.join(), WasLost);
    }
    EXPECT_EQ(mothreads::testing::take_unclaimed_failures(), 1);
    may_end.go();
  });
}

// Only the innermost is stuck: who waits for it goes on, and is not lost.
TEST_F(FiberWhenStuckTest, WhoWaitsForAStuckOneIsNotMarked) {
  on_virtual_time([](VirtualClock& clock) {
    Signal may_end;
    FiberGroup plugins("plugins", {.stop_limit = absl::Seconds(5), .when_stuck = WhenStuck::mark_lost});
    auto outer = spawn({.name = "outer", .parent = plugins}, [&] {
      spawn("inner", ignores_all, may_end).release();
      Signal().wait();
    });
    const Member member = outer;
    auto inner_parent = spawn({.name = "inner's", .parent = plugins}, [&] {
      auto inner = spawn("inner", ignores_all, may_end);
      inner.join();
    });
    const Member waits = inner_parent;
    begin_all();
    plugins.stop();
    pass(clock, absl::Seconds(5));
    pass(clock, mothreads::kUnwindGrace);
    EXPECT_EQ(member.end().value().how, How::cancelled);
    EXPECT_TRUE(waits.stopped());
    EXPECT_NE(waits.end().value().how, How::lost);
    EXPECT_THROW(plugins.join(), FibersFailed);  // the released one is the group's failure
    EXPECT_THROW(outer.join(), WasCancelled);
    EXPECT_ANY_THROW(inner_parent.join());
    static_cast<void>(mothreads::testing::take_unclaimed_failures());
    may_end.go();
  });
}

TEST_F(FiberWhenStuckTest, AFunctionIsTold) {
  on_virtual_time([](VirtualClock& clock) {
    Signal may_end;
    std::vector<std::string> reports;
    FiberGroup plugins("plugins", {.stop_limit = absl::Seconds(1),
                                   .when_stuck = [&](const mothreads::StopReport& report) { reports.push_back(report.lost().at(0).name); }});
    plugins.spawn("stuck", ignores_all, may_end);
    begin_all();
    plugins.stop();
    pass(clock, absl::Seconds(1));
    pass(clock, mothreads::kUnwindGrace);
    EXPECT_THAT(reports, ElementsAre("stuck"));
    EXPECT_THROW(plugins.join(), FibersFailed);
    may_end.go();
  });
}

// The thread has 30 s: the group's members are given up before those are over.
TEST_F(FiberWhenStuckTest, TheStopOfAllTheThreadGoesOnToo) {
  on_virtual_time([](VirtualClock& clock) {
    Signal may_end;
    auto service = spawn("service", [&](const Signal& please_stop) {
      FiberGroup plugins("plugins", {.when_stuck = WhenStuck::mark_lost});
      plugins.spawn("stuck", ignores_all, may_end);
      please_stop.wait();
      plugins.stop();
      EXPECT_THROW(plugins.join(), FibersFailed);
    });
    begin_all();
    service.stop();
    pass(clock, mothreads::kDefaultStopDeadline - 2 * mothreads::kUnwindGrace);
    pass(clock, mothreads::kUnwindGrace);
    EXPECT_FALSE(service.is_alive());
    service.join();
    may_end.go();
  });
}

}  // namespace
}  // namespace cooperative
