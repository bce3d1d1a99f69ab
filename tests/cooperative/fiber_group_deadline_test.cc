// Stops of FiberGroups that take their time: the deadline, the cancellation, the report.

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/fiber_group.h"
#include "cooperative/sleep.h"
#include "mothreads/clock.h"
#include "mothreads/internal/tree/node.h"
#include "mothreads/signal.h"
#include "mothreads/stopping.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "tests/support/sleeping.h"

namespace cooperative::inline v0 {

// With C's name, so that the stack in a report has it plain.
extern "C" {
void waits_for_an_answer(const mothreads::Signal& never);

__attribute__((noinline)) void waits_for_an_answer(const mothreads::Signal& never) {
  never.wait();
  never.wait();  // no tail call
}
}

namespace {

using mothreads::kDefaultStopDeadline;
using mothreads::kExitDidNotStop;
using mothreads::kUnwindGrace;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::UseClock;
using mothreads::testing::VirtualClock;
using ::testing::ElementsAre;
using ::testing::ExitedWithCode;

using Names = std::vector<std::string>;

// Whether a report says so of that fiber.
bool is_cancelled(const Thread& host, const std::string& name) {
  for (const auto& child : host.node(mothreads::internal::kAccess).children()) {
    if (!child->is_part_of_parent()) continue;
    const auto contexts = child->look_inside();
    return contexts && std::any_of(contexts->shown.begin(), contexts->shown.end(),
                                   [&](const auto& context) { return context.name == name && context.is_cancelled; });
  }
  return false;
}

class FiberGroupDeadlineTest : public ::testing::Test {
 protected:
  // A member that does not go at its please_stop; it puts down its name when it is unwound.
  auto deaf(const char* name) {
    return [this, name](const Signal&) {
      struct AtEnd {
        Names& order;
        const char* name;
        ~AtEnd() { order.push_back(name); }
      } at_end{unwound, name};
      waits_for_an_answer(never);
    };
  }

  // All on this clock's time.
  VirtualClock clock;
  const UseClock use{clock};
  const Signal never{"the answer that never comes"};
  Names unwound;
};

TEST_F(FiberGroupDeadlineTest, AMemberThatIgnoresItsStopIsCancelledAtTheDeadline) {
  Signal told;
  auto host = Thread::run("host", [&](Signal) {
    FiberGroup group("workers");
    group.spawn("deaf", deaf("deaf"));
    group.spawn("polite", [](const Signal& please_stop) { please_stop.wait(); });
    yield();
    group.stop();
    EXPECT_EQ(clock.timers(), 1u);  // one for all
    told.go();
    group.join();
  });
  told.wait();
  clock.await_timers(2);  // the deadline, and the scheduler's sleep until then
  clock.advance(kDefaultStopDeadline - absl::Nanoseconds(1));
  EXPECT_FALSE(host.stopped());
  clock.advance(absl::Nanoseconds(1));
  host.join();
  EXPECT_THAT(unwound, ElementsAre("deaf"));
  EXPECT_EQ(clock.timers(), 0u);
}

TEST_F(FiberGroupDeadlineTest, ItsDestructorHasTheSameDeadline) {
  auto host = Thread::run("host", [&](Signal) {
    {
      FiberGroup group("workers");
      for (const char* name : {"a", "b"}) group.spawn(name, deaf(name));
      yield();
    }
    EXPECT_EQ(clock.timers(), 0u);
  });
  clock.await_timers(2);
  clock.advance(kDefaultStopDeadline);
  host.join();
  EXPECT_THAT(unwound, ElementsAre("b", "a"));
}

// In turn, too: who comes later has less time.
TEST_F(FiberGroupDeadlineTest, ItIsOneForAllWhoAreToldInTurn) {
  Signal told;
  Names told_in_order;
  auto host = Thread::run("host", [&](Signal) {
    FiberGroup group(FiberGroupOptions{.name = "workers", .stop_in_turn = true});
    group.spawn("older", [&](const Signal& please_stop) {
      please_stop.then([&] { told_in_order.push_back("older"); });
      deaf("older")(please_stop);
    });
    group.spawn("newer", [&](const Signal& please_stop) {
      please_stop.wait();
      clock.advance(kDefaultStopDeadline - absl::Seconds(1));
      told_in_order.push_back("newer");
    });
    yield();
    group.stop();
    for (int i = 0; i < 3; ++i) yield();
    EXPECT_THAT(told_in_order, ElementsAre("newer", "older"));
    told.go();
    group.join();
  });
  told.wait();
  clock.await_timers(2);
  clock.advance(absl::Seconds(1));
  host.join();
  EXPECT_THAT(unwound, ElementsAre("older"));
}

TEST_F(FiberGroupDeadlineTest, AMemberThatIsMadeMeanwhileHasIt) {
  Signal told;
  auto host = Thread::run("host", [&](Signal) {
    FiberGroup group("workers");
    group.spawn("deaf", deaf("deaf"));
    yield();
    group.stop();
    clock.advance(absl::Seconds(10));
    group.spawn("late", deaf("late"));
    told.go();
    group.join();
  });
  told.wait();
  clock.await_timers(2);
  clock.advance(kDefaultStopDeadline - absl::Seconds(10));
  host.join();
  EXPECT_THAT(unwound, ElementsAre("late", "deaf"));
}

TEST_F(FiberGroupDeadlineTest, AStopInTimeLeavesNoTimerAndTheGroupMayLiveOn) {
  Thread::run("host", [&](Signal) {
    FiberGroup group("workers");
    group.spawn("polite", [](const Signal& please_stop) { please_stop.wait(); });
    yield();
    group.stop();
    EXPECT_EQ(clock.timers(), 1u);
    group.join();
    EXPECT_EQ(clock.timers(), 0u);
    clock.advance(kDefaultStopDeadline + kUnwindGrace + absl::Hours(1));  // the report would end the process
    yield();
  }).join();
}

TEST_F(FiberGroupDeadlineTest, NorDoesAStopOfNobody) {
  Thread::run("host", [&](Signal) {
    FiberGroup group("workers");
    group.stop();
    EXPECT_EQ(clock.timers(), 0u);
    clock.advance(kDefaultStopDeadline + kUnwindGrace + absl::Hours(1));
    yield();
  }).join();
}

// Who comes to a group that is empty and told has as much time as others.
TEST_F(FiberGroupDeadlineTest, AMemberThatIsMadeLongAfterHasItsOwn) {
  Signal told;
  auto host = Thread::run("host", [&](Signal) {
    FiberGroup group("workers");
    group.spawn("polite", [](const Signal& please_stop) { please_stop.wait(); });
    group.stop();
    group.join();
    clock.advance(absl::Hours(1));
    group.spawn("late", deaf("late"));
    yield();
    EXPECT_THAT(unwound, ElementsAre());
    told.go();
    group.join();
    EXPECT_EQ(clock.timers(), 0u);
  });
  told.wait();
  clock.await_timers(2);
  clock.advance(kDefaultStopDeadline - absl::Nanoseconds(1));
  EXPECT_FALSE(host.stopped());
  clock.advance(absl::Nanoseconds(1));
  host.join();
  EXPECT_THAT(unwound, ElementsAre("late"));
}

class FiberGroupReportDeathTest : public FiberGroupDeadlineTest {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(FiberGroupReportDeathTest, NamesTheMemberThatStillDoesNotEnd) {
  EXPECT_EXIT(
      {
        auto host = Thread::run("host", [&](Signal) {
          FiberGroup group("workers");
          group.spawn("polite", [](const Signal& please_stop) { please_stop.wait(); });
          group.spawn("stubborn", [&](const Signal&) {
            const NoCancel whole;
            waits_for_an_answer(never);
          });
          yield();
          group.stop();
          group.join();
        });
        clock.await_timers(2);
        clock.advance(kDefaultStopDeadline);
        mothreads::testing::await([&] { return is_cancelled(host.thread(), "stubborn"); });
        clock.advance(kUnwindGrace - absl::Nanoseconds(1));
        std::fputs("not yet\n", stderr);
        clock.advance(absl::Nanoseconds(1));
      },
      ExitedWithCode(kExitDidNotStop),
      "not yet\n(.|\n)*\"workers\" was told to stop and did not by its deadline; who did not stop:\n"
      "    \\| thread \"host\" waits for the end of group workers; please_stop was not given\n"
      "    \\|     #0 (.|\n)*"
      "\n    \\|   scheduler \"scheduler of host\"; please_stop was not given\n"
      "    \\|     fiber \"workers\" is a FiberGroup\n"
      "    \\|       fiber \"stubborn\" waits for signal the answer that never comes; please_stop was given; it was cancelled\n"
      "    \\|           #0 (.|\n)* waits_for_an_answer\n");
}

}  // namespace
}  // namespace cooperative
