// Whose a failure is when a fiber of a group has a handle: the handle's, until that goes without having given it, then the group's.

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/fiber_group.h"
#include "cooperative/sleep.h"
#include "mothreads/signal.h"
#include "mothreads/stopping.h"
#include "mothreads/testing/log_lines.h"
#include "tests/support/nothing_left.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Signal;
using mothreads::testing::LogLines;
using ::testing::SizeIs;

void fails() { throw std::runtime_error("spilled"); }
void fails_when_told(const Signal& please_stop) {
  please_stop.wait();
  fails();
}

// What the group's join() tells; empty when it tells nothing.
std::string told_by(FiberGroup& group) {
  try {
    group.join();
  } catch (const FibersFailed& failed) {
    return failed.what();
  }
  return "";
}

constexpr const char* kTold = "A fiber failed: \"cook\": spilled";

class FiberGroupFailuresTest : public ::testing::Test {
 protected:
  ~FiberGroupFailuresTest() override { EXPECT_EQ(mothreads::unclaimed_failures(), 0); }

  FiberGroup group{"kitchen"};
  FiberParent in_group{group};
};

TEST_F(FiberGroupFailuresTest, OfAHandleThatIsReleasedBeforeItIsTheGroups) {
  spawn({.name = "cook", .parent = in_group}, fails).release();
  EXPECT_EQ(told_by(group), kTold);
}

// It makes no difference whether the fiber was quicker.
TEST_F(FiberGroupFailuresTest, SoOfOneThatIsReleasedAfterIt) {
  auto cook = spawn({.name = "cook", .parent = in_group}, fails);
  EXPECT_EQ(told_by(group), "");  // it is the handle's
  cook.release();
  EXPECT_EQ(told_by(group), kTold);
  EXPECT_EQ(told_by(group), "");
}

TEST_F(FiberGroupFailuresTest, SoOfOneThatIsDestroyed) {
  {
    auto cook = spawn({.name = "cook", .parent = in_group}, fails);
    yield();
    yield();
  }
  EXPECT_EQ(told_by(group), kTold);
}

TEST_F(FiberGroupFailuresTest, SoOfOneWhoseDestructorStopsIt) {
  {
    auto cook = spawn({.name = "cook", .parent = in_group}, fails_when_told);
    yield();
  }
  EXPECT_EQ(told_by(group), kTold);
}

TEST_F(FiberGroupFailuresTest, SoOfOneThatAnotherIsAssignedTo) {
  auto cook = spawn({.name = "cook", .parent = in_group}, fails);
  yield();
  yield();
  cook = Fiber<void>();
  EXPECT_EQ(told_by(group), kTold);
}

TEST_F(FiberGroupFailuresTest, OfAHandleThatGaveItIsNotTheGroups) {
  auto cook = spawn({.name = "cook", .parent = in_group}, fails);
  EXPECT_THROW(cook.join(), std::runtime_error);
  EXPECT_EQ(told_by(group), "");
}

TEST_F(FiberGroupFailuresTest, AJoinThatGivesUpLeavesItToTheHandle) {
  Event<> end;
  auto cook = spawn({.name = "cook", .parent = in_group}, [&] {
    end.wait();
    fails();
  });
  EXPECT_THROW(cook.join(mothreads::DONE), Stopped);
  end.signal();
  EXPECT_EQ(told_by(group), "");
  EXPECT_THROW(cook.join(), std::runtime_error);
  EXPECT_EQ(told_by(group), "");
}

// What a member makes is no member, but what it leaves behind is the group's.
TEST_F(FiberGroupFailuresTest, OfWhatAMemberMadeItIsTheGroupsToo) {
  group.spawn("chef", [] {
    auto cook = spawn("cook", fails);
    yield();
    yield();
    cook.release();
  });
  EXPECT_EQ(told_by(group), kTold);
  group.spawn("chef", [] {
    auto cook = spawn("cook", fails_when_told);
    yield();
  });
  EXPECT_EQ(told_by(group), kTold);
}

TEST_F(FiberGroupFailuresTest, ItStopsAGroupThatFailsFast) {
  FiberGroup fast(FiberGroupOptions{.name = "fast", .fail_fast = true});
  Event<> drop_it;
  fast.spawn("chef", [&](const Signal& please_stop) {
    {
      auto cook = spawn("cook", fails);
      drop_it.wait();
      EXPECT_FALSE(please_stop);  // somebody may still take it
    }
    EXPECT_TRUE(please_stop);
  });
  fast.spawn("waiter", [](const Signal& please_stop) { please_stop.wait(); });
  for (int i = 0; i < 3; ++i) yield();
  drop_it.signal();
  EXPECT_EQ(told_by(fast), kTold);  // else the waiter would not end
}

TEST_F(FiberGroupFailuresTest, TheGroupMayHaveLostItsPlaceByThen) {
  auto maker = spawn("maker", [] {
    auto inner = std::make_unique<FiberGroup>("inner");
    auto cook = spawn({.name = "cook", .parent = *inner}, fails_when_told);
    yield();
    return std::pair(std::move(inner), std::move(cook));
  });
  auto [inner, cook] = maker.join();
  EXPECT_EQ(told_by(*inner), "");
  cook.release();
  EXPECT_EQ(told_by(*inner), kTold);
}

TEST_F(FiberGroupFailuresTest, WhenTheGroupHasGoneItIsLogged) {
  LogLines log;
  Fiber<void> cook;
  {
    FiberGroup inner("inner");
    cook = spawn({.name = "cook", .parent = inner}, fails);
    yield();
  }
  EXPECT_EQ(mothreads::unclaimed_failures(), 0);
  cook.release();
  EXPECT_EQ(mothreads::testing::take_unclaimed_failures(), 1);
  EXPECT_THAT(log.with("\"cook\", which nobody joined: spilled"), SizeIs(1));
}

TEST_F(FiberGroupFailuresTest, AndWhenTheGroupTellsNobodyByItsDestructor) {
  LogLines log;
  {
    FiberGroup inner("inner");
    auto cook = spawn({.name = "cook", .parent = inner}, fails);
    yield();
    yield();
  }
  EXPECT_EQ(mothreads::testing::take_unclaimed_failures(), 1);
  EXPECT_THAT(log.with("\"cook\", which nobody joined: spilled"), SizeIs(1));
}

TEST_F(FiberGroupFailuresTest, WithAParentThatIsAFiberItIsLogged) {
  LogLines log;
  group.spawn("chef", [] {
    auto sous_chef = spawn("sous-chef", [](const Signal& please_stop) { please_stop.wait(); });
    auto cook = spawn({.name = "cook", .parent = sous_chef}, fails);
    yield();
    yield();
    cook.release();
  });
  EXPECT_EQ(told_by(group), "");
  EXPECT_EQ(mothreads::testing::take_unclaimed_failures(), 1);
  EXPECT_THAT(log.with("\"cook\", which nobody joined: spilled"), SizeIs(1));
}

}  // namespace
}  // namespace cooperative
