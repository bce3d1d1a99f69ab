#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/fiber_group.h"
#include "cooperative/sleep.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/stopping.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/thread.h"
#include "tests/support/exceptions.h"
#include "tests/support/fiber_waits.h"
#include "tests/support/nothing_left.h"
#include "tests/support/threads.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::testing::LogLines;
using mothreads::testing::until_stopped;
using mothreads::testing::what_of;
using testing::says_its_name;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using Names = std::vector<std::string>;

// --- owning ----------------------------------------------------------------------------------------------------------------------

TEST(FiberGroupTest, TheDestructorStopsNewestFirstAndWaits) {
  Names order;
  {
    FiberGroup group("workers");
    for (const char* name : {"a", "b", "c"}) group.spawn(name, says_its_name(order, name));
    yield();
  }
  EXPECT_THAT(order, ElementsAre("c", "b", "a"));
}

TEST(FiberGroupTest, TheDestructorWaitsAlsoInACancelledFiber) {
  Names order;
  auto maker = spawn("maker", [&] {
    FiberGroup group("workers");
    group.spawn("slow", [&](Signal please_stop) {
      please_stop.wait();
      for (int i = 0; i < 3; ++i) yield();
      order.push_back("slow");
    });
    yield();
    group.join();
  });
  yield();
  yield();
  EXPECT_THROW(maker.cancel().join(), WasCancelled);
  EXPECT_THAT(order, ElementsAre("slow"));
}

TEST(FiberGroupTest, FailuresThatNobodyTookAreLoggedByTheDestructor) {
  LogLines log;
  {
    FiberGroup group("workers");
    group.spawn("bad", [] { throw std::runtime_error("connection refused"); });
    yield();
    EXPECT_EQ(mothreads::unclaimed_failures(), 0);
  }
  EXPECT_EQ(mothreads::testing::take_unclaimed_failures(), 1);
  EXPECT_THAT(log.with("\"bad\", which nobody joined: connection refused"), SizeIs(1));
}

TEST(FiberGroupTest, StoppingItsMakerStopsTheMembers) {
  Names order;
  auto maker = spawn("maker", [&](Signal) {
    FiberGroup group("workers");
    group.spawn("member", says_its_name(order, "member"));
    group.join();
    order.push_back("maker");
  });
  yield();
  yield();
  maker.stop().join();
  EXPECT_THAT(order, ElementsAre("member", "maker"));
}

TEST(FiberGroupTest, AGroupThatOutlivesItsMakerIsStoppedWithItAndTakesNoMembers) {
  Names order;
  auto maker = spawn("maker", [&] {
    auto group = std::make_unique<FiberGroup>("workers");
    group->spawn("member", says_its_name(order, "member"));
    yield();
    return group;
  });
  const std::unique_ptr<FiberGroup> group = maker.join();
  EXPECT_THAT(order, ElementsAre("member"));
  EXPECT_EQ(what_of<Misuse>([&] { group->spawn("late", [] {}); }),
            "FiberGroup \"workers\" takes no more members, because the fiber that made it has ended: make the group in one that still "
            "runs");
  EXPECT_EQ(group->size(), 0u);
  group->stop();
  group->join();
}

TEST(FiberGroupTest, AGroupMayOutliveItsThread) {
  std::unique_ptr<FiberGroup> group;
  Thread::run("host", [&](Signal) {
    group = std::make_unique<FiberGroup>("workers");
    group->spawn("member", until_stopped);
    yield();
  }).join();
  EXPECT_THROW(group->spawn("late", [] {}), Misuse);
  EXPECT_EQ(group->size(), 0u);
}

TEST(FiberGroupTest, AnotherThreadIsRefusedBeforeAnythingChanges) {
  FiberGroup group("workers");
  group.spawn("member", until_stopped);
  auto other = Thread::run("other", [&](Signal) {
    return Names{what_of<Misuse>([&] { group.spawn("theirs", [] {}); }), what_of<Misuse>([&] { group.stop(); }),
                 what_of<Misuse>([&] { group.join(); })};
  });
  for (const std::string& said : other.join()) EXPECT_THAT(said, HasSubstr("FiberGroup \"workers\" was used on another thread"));
  EXPECT_EQ(group.size(), 1u);
  EXPECT_FALSE(group.please_stop());
}

TEST(FiberGroupTest, ANameIsMandatory) {
  EXPECT_THROW(static_cast<void>(FiberGroup("")), Misuse);
  FiberGroup group("workers");
  EXPECT_THROW(group.spawn("", [] {}), Misuse);
  EXPECT_EQ(group.size(), 0u);
}

TEST(FiberGroupTest, GroupsMayBeNested) {
  Names order;
  {
    FiberGroup outer("outer");
    outer.spawn("member", [&](Signal please_stop) {
      FiberGroup inner("inner");
      inner.spawn("leaf", says_its_name(order, "leaf"));
      please_stop.wait();
      inner.join();
      order.push_back("member");
    });
    yield();
    yield();
  }
  EXPECT_THAT(order, ElementsAre("leaf", "member"));
}

// --- stopping --------------------------------------------------------------------------------------------------------------------

TEST(FiberGroupTest, StopTellsTheNewestFirst) {
  Names told;
  FiberGroup group("workers");
  std::vector<Fiber<void>> members;
  for (const char* name : {"a", "b", "c"}) {
    members.push_back(spawn({.name = name, .parent = group}, until_stopped));
    members.back().please_stop().then([&told, name] { told.push_back(name); });
  }
  group.please_stop().then([&] { told.push_back("group"); });
  group.stop();
  group.stop();
  EXPECT_THAT(told, ElementsAre("c", "b", "a", "group"));
  group.join();
}

TEST(FiberGroupTest, AMemberOfAStoppedGroupIsToldAtOnce) {
  bool was_told = false;
  bool other_ran = false;
  FiberGroup group("workers");
  group.stop();
  group.spawn("late", [&](Signal please_stop) { was_told = static_cast<bool>(please_stop); });
  group.spawn("late, and without please_stop", [&] { other_ran = true; });
  auto handle = spawn({.name = "late, with a handle", .parent = group}, until_stopped);
  group.join();
  EXPECT_TRUE(was_told);
  EXPECT_FALSE(other_ran);
}

TEST(FiberGroupTest, InTurnEachIsToldWhenTheOneAfterItHasEnded) {
  Names order;
  {
    FiberGroup group(FiberGroupOptions{.name = "workers", .stop_in_turn = true});
    for (const char* name : {"a", "b", "c"}) {
      group.spawn(name, [&order, name](Signal please_stop) {
        please_stop.wait();
        order.push_back(std::string(name) + " told");
        for (int i = 0; i < 3; ++i) yield();
        order.push_back(std::string(name) + " ended");
      });
    }
    yield();
  }
  EXPECT_THAT(order, ElementsAre("c told", "c ended", "b told", "b ended", "a told", "a ended"));
}

TEST(FiberGroupTest, InTurnGoesOnPastAMemberThatWasStoppedAlone) {
  Names order;
  FiberGroup group(FiberGroupOptions{.name = "workers", .stop_in_turn = true});
  group.spawn("a", says_its_name(order, "a"));
  Event<> end;
  auto b = spawn({.name = "b", .parent = group}, [&](Signal please_stop) {
    please_stop.wait();
    end.wait();
    order.push_back("b");
  });
  yield();
  b.stop();
  yield();
  group.stop();
  yield();
  EXPECT_THAT(order, IsEmpty());
  end.signal();
  group.join();
  EXPECT_THAT(order, ElementsAre("b", "a"));
}

TEST(FiberGroupTest, InTurnWaitsForAMemberThatIsMadeMeanwhile) {
  Names order;
  Event<> end_late;
  FiberGroup group(FiberGroupOptions{.name = "workers", .stop_in_turn = true});
  group.spawn("a", says_its_name(order, "a"));
  group.spawn("b", [&](Signal please_stop) {
    please_stop.wait();
    group.spawn("late", [&](Signal stop) {
      stop.wait();
      end_late.wait();
      order.push_back("late");
    });
    order.push_back("b");
  });
  yield();
  group.stop();
  for (int i = 0; i < 5; ++i) yield();
  EXPECT_THAT(order, ElementsAre("b"));
  end_late.signal();
  group.join();
  EXPECT_THAT(order, ElementsAre("b", "late", "a"));
}

TEST(FiberGroupTest, FailFastStopsTheOthers) {
  FiberGroup group(FiberGroupOptions{.name = "workers", .fail_fast = true});
  group.spawn("polite", until_stopped);
  group.spawn("bad", [] { throw std::runtime_error("connection refused"); });
  group.spawn("sleeper", [] { sleep(absl::Hours(1)); });
  EXPECT_EQ(what_of<FibersFailed>([&] { group.join(); }), "A fiber failed: \"bad\": connection refused");  // else it would not end
  EXPECT_TRUE(group.please_stop());
}

TEST(FiberGroupTest, WithoutFailFastTheOthersGoOn) {
  FiberGroup group("workers");
  group.spawn("polite", until_stopped);
  group.spawn("bad", [] { throw std::runtime_error("connection refused"); });
  for (int i = 0; i < 3; ++i) yield();
  EXPECT_EQ(group.size(), 1u);
  EXPECT_FALSE(group.please_stop());
  group.stop();
  EXPECT_THROW(group.join(), FibersFailed);
}

// --- misuse that cannot be survived ------------------------------------------------------------------------------------------------

TEST(FiberGroupDeathTest, DestroyedByAMemberIsFatal) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto group = std::make_unique<FiberGroup>("workers");
        group->spawn("member", [&] { group.reset(); });
        yield();
      },
      "FiberGroup \"workers\" was destroyed by one of its own members");
}

TEST(FiberGroupDeathTest, DestroyedOnAnotherThreadIsFatal) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        auto group = std::make_unique<FiberGroup>("workers");
        Thread::run("other", [&](Signal) { group.reset(); }).join();
      },
      "FiberGroup \"workers\" was destroyed on another thread than its members'");
}

}  // namespace
}  // namespace cooperative
