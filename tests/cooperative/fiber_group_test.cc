#include "cooperative/fiber_group.h"

#include <functional>
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
#include "cooperative/sleep.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/stopping.h"
#include "mothreads/testing/virtual_clock.h"
#include "tests/support/exceptions.h"
#include "tests/support/fiber_waits.h"
#include "tests/support/nothing_left.h"
#include "tests/support/threads.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::DONE;
using mothreads::Misuse;
using mothreads::Signal;
using mothreads::testing::on_virtual_time;
using mothreads::testing::until_stopped;
using mothreads::testing::VirtualClock;
using mothreads::testing::what_of;
using testing::says_its_name;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using Names = std::vector<std::string>;

// --- joining -----------------------------------------------------------------------------------------------------------------

TEST(FiberGroupTest, JoinWaitsForAllMembers) {
  Names order;
  FiberGroup group("workers");
  for (const char* name : {"a", "b", "c"}) group.spawn(name, [&order, name] { order.push_back(name); });
  EXPECT_EQ(group.size(), 3u);
  EXPECT_THAT(order, IsEmpty());  // spawn() does not wait
  group.join();
  EXPECT_THAT(order, ElementsAre("a", "b", "c"));
  EXPECT_EQ(group.size(), 0u);
  EXPECT_FALSE(group.please_stop());
}

TEST(FiberGroupTest, JoinOfAnEmptyGroupDoesNotWait) {
  bool other_ran = false;
  auto other = spawn("other", [&] { other_ran = true; });
  FiberGroup group("nobody");
  group.join(absl::ZeroDuration());
  EXPECT_FALSE(other_ran);
  other.join();
}

TEST(FiberGroupTest, MembersTakeArgumentsAndOptions) {
  int sum = 0;
  FiberGroup group("workers");
  group.spawn("adder", [](int& to, std::unique_ptr<int> number) { to += *number; }, std::ref(sum), std::make_unique<int>(3));
  group.spawn({.name = "deep", .stack_size = 256 * 1024}, [&](int number) { sum += number; }, 4);
  group.join();
  EXPECT_EQ(sum, 7);
}

TEST(FiberGroupTest, AFiberOfTheRootThatAMemberMakesIsNoMember) {
  mothreads::testing::on_virtual_time([](VirtualClock&) {
    Signal goes_on;
    bool has_ended = false;
    Signal of_released;
    Fiber<void> kept;
    {
      FiberGroup group("workers");
      group.spawn("maker", [&] {
        kept = spawn({.name = "kept", .parent = FiberParent::root()}, [&] {
          goes_on.wait();
          has_ended = true;
        });
        auto released = spawn({.name = "released", .parent = FiberParent::root()}, [&] { goes_on.wait(); });
        of_released = released.stopped();
        released.release();
        FiberGroup other({.name = "other", .parent = FiberParent::root()});
      });
      group.join();
      EXPECT_EQ(group.size(), 0u);
      EXPECT_TRUE(kept.is_alive());
      EXPECT_FALSE(of_released);
    }
    EXPECT_FALSE(has_ended);
    goes_on.go();
    kept.join();
    of_released.wait();
    EXPECT_TRUE(has_ended);
  });
}

TEST(FiberGroupTest, JoinWaitsForMembersThatAreMadeMeanwhile) {
  bool second_ran = false;
  FiberGroup group("workers");
  group.spawn("first", [&] {
    yield();
    group.spawn("second", [&] {
      yield();
      second_ran = true;
    });
  });
  group.join();
  EXPECT_TRUE(second_ran);
}

TEST(FiberGroupTest, AllWhoJoinAreWoken) {
  Event<> event;
  int joined = 0;
  FiberGroup group("workers");
  group.spawn("member", [&] { event.wait(); });
  std::vector<Fiber<void>> joiners;
  for (int i = 0; i < 3; ++i) {
    joiners.push_back(spawn("joiner", [&] {
      group.join();
      ++joined;
    }));
  }
  yield();
  event.signal();
  for (auto& joiner : joiners) joiner.join();
  EXPECT_EQ(joined, 3);
}

TEST(FiberGroupTest, JoinThrowsWhatMembersThrewInTheOrderTheyDid) {
  FiberGroup group("workers");
  group.spawn("good", [] {});
  group.spawn("worse", [] {
    yield();
    throw 3;
  });
  group.spawn("bad", [] { throw std::runtime_error("connection refused"); });
  try {
    group.join();
    FAIL() << "join() did not throw";
  } catch (const FibersFailed& failed) {
    EXPECT_STREQ(failed.what(), "2 fibers failed: \"bad\": connection refused; \"worse\": an exception of type int");
    ASSERT_THAT(failed.ends(), SizeIs(2));
    EXPECT_THROW(std::rethrow_exception(failed.ends()[0].exception), std::runtime_error);  // the original
    EXPECT_THROW(std::rethrow_exception(failed.ends()[1].exception), int);
  }
  group.join();  // each failure is told once
  EXPECT_EQ(mothreads::unclaimed_failures(), 0);
}

TEST(FiberGroupTest, ACancelledMemberIsNoFailure) {
  FiberGroup group("workers");
  group.spawn("sleeper", [] { sleep(absl::Hours(1)); });
  yield();
  group.stop().join();
}

TEST(FiberGroupTest, AJoinThatGivesUpLeavesTheMembersRunning) {
  Event<> event;
  FiberGroup group("workers");
  group.spawn("a", [&] { event.wait(); });
  EXPECT_EQ(what_of<Timedout>([&] { group.join(absl::ZeroDuration()); }),
            "the join of FiberGroup \"workers\" timed out before all members had ended");
  EXPECT_EQ(what_of<Stopped>([&] { group.join(DONE); }),
            "the join of FiberGroup \"workers\" was stopped before all members had ended");
  EXPECT_EQ(group.size(), 1u);
  event.signal();
  group.join();
}

// The limit is one for all: it does not begin anew with a member that is made when the others have ended.
TEST(FiberGroupTest, JoinHasOneLimit) {
  on_virtual_time([](VirtualClock& clock) {
    Event<> end_first;
    FiberGroup group("workers");
    group.spawn("first", [&] { end_first.wait(); });
    auto maker = spawn("maker", [&] {
      yield();
      clock.advance(absl::Seconds(40));
      end_first.signal();
      yield();
      EXPECT_EQ(group.size(), 0u);  // the joiner has been woken, and has not run yet
      group.spawn("second", until_stopped);
      yield();
      yield();
      clock.advance(absl::Seconds(20));
    });
    EXPECT_THROW(group.join(absl::Seconds(60)), Timedout);
    EXPECT_EQ(group.size(), 1u);
    maker.join();
  });
}

TEST(FiberGroupTest, ACancelledJoinLeavesNothingBehind) {
  Event<> event;
  FiberGroup group("workers");
  group.spawn("member", [&] { event.wait(); });
  auto joiner = spawn("joiner", [&] { group.join(); });
  yield();
  EXPECT_THROW(joiner.cancel().join(), WasCancelled);
  event.signal();
  group.join();
}

TEST(FiberGroupTest, JoinByAMemberOrWhatItMadeIsMisuse) {
  Names said;
  FiberGroup group("workers");
  group.spawn("member", [&] {
    said.push_back(what_of<Misuse>([&] { group.join(); }));
    spawn("child", [&] { said.push_back(what_of<Misuse>([&] { group.join(); })); }).join();
  });
  group.join();
  ASSERT_THAT(said, SizeIs(2));
  EXPECT_THAT(said[0], HasSubstr("FiberGroup \"workers\" is joined by one of its own members"));
  EXPECT_EQ(said[0], said[1]);
}

// --- members with handles --------------------------------------------------------------------------------------------------------

TEST(FiberGroupTest, AMemberWithAHandleGivesItsResult) {
  FiberGroup group("workers");
  auto reader = spawn({.name = "reader", .parent = group}, [] { return 42; });
  EXPECT_EQ(group.size(), 1u);
  group.join();
  EXPECT_EQ(group.size(), 0u);
  EXPECT_EQ(reader.join(), 42);
}

TEST(FiberGroupTest, AMemberWithAHandleGivesItsOriginalException) {
  FiberGroup group("workers");
  auto reader = spawn({.name = "reader", .parent = group}, []() -> int { throw std::out_of_range("too far"); });
  group.join();  // its failure is its handle's
  EXPECT_EQ(what_of<std::out_of_range>([&] { reader.join(); }), "too far");
}

TEST(FiberGroupTest, AReleasedMemberStaysInTheGroup) {
  Names order;
  {
    FiberGroup group("workers");
    spawn({.name = "released", .parent = group}, says_its_name(order, "released")).release();
    yield();
  }
  order.push_back("after the group");
  EXPECT_THAT(order, ElementsAre("released", "after the group"));
}

TEST(FiberGroupTest, TheFailureOfAReleasedMemberIsTheGroups) {
  FiberGroup group("workers");
  spawn({.name = "released", .parent = group}, [] { throw std::runtime_error("spilled"); }).release();
  EXPECT_EQ(what_of<FibersFailed>([&] { group.join(); }), "A fiber failed: \"released\": spilled");
}

// What a member made may use what the group's members use.
TEST(FiberGroupTest, WhatAMemberReleasesBecomesAMember) {
  Names order;
  {
    FiberGroup group("workers");
    group.spawn("member", [&] {
      spawn("released", says_its_name(order, "released")).release();
      order.push_back("member");
    });
    yield();
    yield();
    EXPECT_EQ(group.size(), 1u);
  }
  order.push_back("after the group");
  EXPECT_THAT(order, ElementsAre("member", "released", "after the group"));
}

TEST(FiberGroupTest, AFiberMayBeTheParent) {
  Names order;
  Event<> event;
  auto parent = spawn("parent", [&] {
    event.wait();
    order.push_back("parent");
  });
  spawn({.name = "child", .parent = parent}, says_its_name(order, "child")).release();
  yield();
  event.signal();
  parent.join();
  EXPECT_THAT(order, ElementsAre("parent", "child"));
  EXPECT_EQ(parent.owns(), false);
}

TEST(FiberGroupTest, AGroupMayHaveAnotherParentThanItsMaker) {
  Names names;
  std::unique_ptr<FiberGroup> group;
  auto parent = spawn("parent", [] { Signal().wait(); });
  auto maker = spawn("maker", [&] {
    group = std::make_unique<FiberGroup>(FiberGroupOptions{.name = "group", .parent = parent});
    group->spawn("a", says_its_name(names, "a"));
  });
  maker.join();
  group->spawn("b", says_its_name(names, "b"));
  yield_until_idle();
  EXPECT_EQ(group->size(), 2u);
  parent.stop();
  yield_until_idle();
  EXPECT_THAT(names, ElementsAre("b", "a"));
  EXPECT_FALSE(parent.is_alive());
  EXPECT_THROW(group->spawn("late", [] {}), Misuse);
}

// No group is a member of another.
TEST(FiberGroupTest, AGroupWhoseParentIsAGroupIsBesideIt) {
  Names names;
  FiberGroup outer("outer");
  {
    FiberGroup inner({.name = "inner", .parent = outer});
    inner.spawn("inner's", says_its_name(names, "inner"));
    EXPECT_EQ(outer.size(), 0u);
    yield_until_idle();
    outer.stop().join();
    EXPECT_THAT(names, IsEmpty());
  }
  EXPECT_THAT(names, ElementsAre("inner"));
}

TEST(FiberGroupTest, AParentThatHasEndedTakesNoGroup) {
  FiberParent parent;
  spawn("ends", [&parent] {
    FiberGroup group("group");
    parent = group;
  }).join();
  const auto make = [&parent] { FiberGroup group({.name = "orphans", .parent = parent}); };
  EXPECT_THAT(what_of<Misuse>(make), HasSubstr("FiberGroup \"orphans\" cannot be made under a parent that has ended"));
}

TEST(FiberGroupTest, AParentThatHasEndedIsMisuse) {
  auto parent = spawn("parent", [] {});
  const FiberParent ref = parent;
  const auto make = [&] { static_cast<void>(spawn({.name = "orphan", .parent = ref}, [] {})); };
  yield();
  EXPECT_THAT(what_of<Misuse>(make), HasSubstr("fiber \"orphan\" cannot be made under a parent that has ended"));
  parent.join();
  EXPECT_THAT(what_of<Misuse>(make), HasSubstr("a parent that has ended"));
}

}  // namespace
}  // namespace cooperative
