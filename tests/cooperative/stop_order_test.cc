// Stops of whole trees of fibers: the order in which they are told, however deep they are, and whatever happens meanwhile.

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/fiber_group.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/sleep.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "tests/support/sanitized.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Signal;
using mothreads::Thread;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

using Names = std::vector<std::string>;

// Deeper than a stack of 64 KiB has room for calls. A sanitizer's runtime has room for few stacks.
constexpr int kDepth = mothreads::testing::kSanitized ? 1'000 : 10'000;

// Fibers, each made by the one before.
class Chain {
 public:
  enum class Links : bool { handles, groups };

  explicit Chain(int depth, Links links = Links::handles) : depth_(depth), links_(links) {}

  void operator()(const Signal& please_stop) { run(1, please_stop); }
  void await() { all_are_there_.wait(); }

  std::vector<int> told;
  std::vector<int> ended;

 private:
  void run(int level, const Signal& please_stop) {
    please_stop.then([this, level] { told.push_back(level); });
    const auto next = [this, level](const Signal& stop) { run(level + 1, stop); };
    if (level == depth_) {
      all_are_there_.go();
      please_stop.wait();
    } else if (links_ == Links::handles) {
      auto below = spawn("link", next);
      please_stop.wait();
    } else {
      FiberGroup below("links");
      below.spawn("link", next);
      please_stop.wait();
    }
    ended.push_back(level);
  }

  const int depth_;
  const Links links_;
  Signal all_are_there_;
};

std::vector<int> from_the_deepest() {
  std::vector<int> order;
  for (int level = kDepth; level > 0; --level) order.push_back(level);
  return order;
}

class DeepStopTest : public ::testing::TestWithParam<Chain::Links> {};
INSTANTIATE_TEST_SUITE_P(Links, DeepStopTest, ::testing::Values(Chain::Links::handles, Chain::Links::groups),
                         [](const auto& its) { return its.param == Chain::Links::handles ? "handles" : "groups"; });

TEST_P(DeepStopTest, AStopByAFiberTellsTheDeepestFirst) {
  Chain chain(kDepth, GetParam());
  spawn("stops them", [&] {
    auto top = spawn("top", std::ref(chain));
    chain.await();
    top.stop();
    EXPECT_EQ(chain.told, from_the_deepest());
    EXPECT_THAT(chain.ended, IsEmpty());
    top.join();
  }).join();
  EXPECT_EQ(chain.ended, from_the_deepest());
}

TEST_P(DeepStopTest, SoDoesTheEndOfTheFunctionAboveThem) {
  Chain chain(kDepth, GetParam());
  Fiber<void> top;
  spawn("ends", [&] {
    top = spawn("top", std::ref(chain));  // which lives longer
    chain.await();
  }).join();
  EXPECT_EQ(chain.told, from_the_deepest());
  EXPECT_EQ(chain.ended, from_the_deepest());
}

TEST_P(DeepStopTest, SoDoesAGroup) {
  Chain chain(kDepth, GetParam());
  spawn("stops them", [&] {
    FiberGroup group("all");
    group.spawn("top", std::ref(chain));
    chain.await();
  }).join();
  EXPECT_EQ(chain.told, from_the_deepest());
  EXPECT_EQ(chain.ended, from_the_deepest());
}

TEST_P(DeepStopTest, SoDoesTheStopOfTheThread) {
  Chain chain(kDepth, GetParam());
  Signal are_there;
  auto host = Thread::run("host", [&](const Signal& please_stop) {
    spawn("top", std::ref(chain)).release();
    chain.await();
    are_there.go();
    please_stop.wait();
  });
  are_there.wait();
  host.stop().join();
  EXPECT_EQ(chain.told, from_the_deepest());
  EXPECT_EQ(chain.ended, from_the_deepest());
}

// One member of the group in turn is told with all below it; the next when that one has ended.
TEST(StopOrderTest, AGroupInTheTreeKeepsItsOwnOrder) {
  Names told;
  const auto says = [&](const char* name) {
    return [&told, name](const Signal& please_stop) {
      please_stop.then([&told, name] { told.push_back(name); });
      please_stop.wait();
    };
  };
  auto top = spawn("top", [&](const Signal& please_stop) {
    please_stop.then([&] { told.push_back("top"); });
    auto older = spawn("older", says("older"));
    FiberGroup group(FiberGroupOptions{.name = "in turn", .stop_in_turn = true});
    group.please_stop().then([&] { told.push_back("group"); });
    group.spawn("first", says("first"));
    group.spawn("second", [&](const Signal& stop) {
      auto below = spawn("below the second", says("below the second"));
      says("second")(stop);
    });
    auto newer = spawn("newer", says("newer"));
    please_stop.wait();
  });
  for (int i = 0; i < 5; ++i) yield();
  top.stop();
  EXPECT_THAT(told, ElementsAre("newer", "below the second", "second", "group", "older", "top"));
  top.join();
  EXPECT_THAT(told, ElementsAre("newer", "below the second", "second", "group", "older", "top", "first"));
}

// --- what then() functions may do meanwhile --------------------------------------------------------------------------------------------

// A tree of eight: top, then left and right below it, and two below each, and one fiber beside them. Each says when it is told, and
// ends then.
class Tree {
 public:
  Tree() {
    top = make("top", {});
    yield();
    beside = make("beside", {});
    left = make("left", top);
    left_1 = make("left 1", left);
    left_2 = make("left 2", left);
    right = make("right", top);
    right_1 = make("right 1", right);
    right_2 = make("right 2", right);
    for (int i = 0; i < 3; ++i) yield();
  }

  // When that one is told, after it has said so.
  void when_told(Fiber<void>& fiber, std::function<void()> function) { fiber.please_stop().then(std::move(function)); }

  Names told;
  Fiber<void> top, beside, left, left_1, left_2, right, right_1, right_2;

 private:
  Fiber<void> make(const char* name, const FiberParent& parent) {
    auto fiber = spawn({.name = name, .parent = parent}, [](const Signal& please_stop) { please_stop.wait(); });
    fiber.please_stop().then([this, name] { told.push_back(name); });
    return fiber;
  }
};

// In the blocks of those that have ended.
void spawn_some() {
  for (int i = 0; i < 8; ++i) spawn("new", [](const Signal& please_stop) { EXPECT_FALSE(please_stop); yield(); }).release();
}

const auto kAll = ElementsAre("right 2", "right 1", "right", "left 2", "left 1", "left", "top");

TEST(StopOrderTest, WithoutAnythingHappening) {
  Tree tree;
  tree.top.stop();
  EXPECT_THAT(tree.told, kAll);
  tree.top.join();
}

TEST(StopOrderTest, WhoWasToldMayBeGoneWhenTheNextIs) {
  Tree tree;
  tree.when_told(tree.right_2, [&] {
    tree.right_2.join();
    spawn_some();
  });
  tree.top.stop();
  EXPECT_THAT(tree.told, kAll);
  tree.top.join();
  EXPECT_FALSE(tree.beside.please_stop());
}

TEST(StopOrderTest, SoMayTheOnesAboveIt) {
  Tree tree;
  tree.when_told(tree.left_1, [&] {
    tree.left.stop();  // it is told out of its turn, here
    tree.left_1.join();
    tree.left_2.join();
    tree.left.join();
    spawn_some();
  });
  tree.top.stop();
  EXPECT_THAT(tree.told, kAll);
  tree.top.join();
}

TEST(StopOrderTest, SoMayAll) {
  Tree tree;
  tree.when_told(tree.right_1, [&] {
    for (auto* fiber : {&tree.left_2, &tree.left_1, &tree.left, &tree.right, &tree.right_2, &tree.right_1, &tree.top}) {
      fiber->stop().join();
    }
    spawn_some();
  });
  tree.top.stop();
  EXPECT_THAT(tree.told, ElementsAre("right 2", "right 1", "left 2", "left 1", "left", "right", "top"));
  EXPECT_FALSE(tree.beside.please_stop());
}

TEST(StopOrderTest, WhoWasToldMayBeHandedOn) {
  Tree tree;
  Signal belows_stop;
  auto inner = spawn({.name = "inner", .parent = tree.top}, [&](const Signal& please_stop) {
    auto below = spawn("below", [](const Signal& stop) { stop.wait(); });
    belows_stop = below.please_stop();
    belows_stop.then([&] { below.release(); });  // to the root: it is not below the top any more
    please_stop.wait();
  });
  for (int i = 0; i < 3; ++i) yield();
  tree.top.stop();
  EXPECT_THAT(tree.told, kAll);
  EXPECT_TRUE(belows_stop);
  EXPECT_TRUE(inner.please_stop());
  tree.top.join();
  EXPECT_FALSE(tree.beside.please_stop());
}

// One whose children have been told, and which has its deadline already, but not its please_stop.
TEST(StopOrderTest, WhoIsAboutToBeToldMayBeHandedOn) {
  Names told;
  Fiber<void> middle;
  auto top = spawn("top", [&](const Signal& please_stop) {
    middle = spawn("middle", [&](const Signal& stop) {
      stop.then([&] { told.push_back("middle"); });
      auto below = spawn("below", [](const Signal& its_stop) { its_stop.wait(); });
      below.please_stop().then([&] {
        told.push_back("below");
        middle.release();  // to the root: it is not below the top any more
      });
      stop.wait();
    });
    please_stop.then([&] { told.push_back("top"); });
    please_stop.wait();
  });
  for (int i = 0; i < 3; ++i) yield();
  top.stop();
  EXPECT_THAT(told, ElementsAre("below", "middle", "top"));
  top.join();
}

TEST(StopOrderTest, NewOnesAreNotTold) {
  Tree tree;
  Fiber<void> newer;
  tree.when_told(tree.left_2, [&] {
    newer = spawn({.name = "newer", .parent = tree.right}, [](const Signal& please_stop) { please_stop.wait(); });
  });
  tree.top.stop();
  EXPECT_THAT(tree.told, kAll);
  EXPECT_FALSE(newer.please_stop());  // right may need it for its end
  tree.top.join();
  EXPECT_TRUE(newer.please_stop());
}

TEST(StopOrderTest, WhatIsMadeAtAFibersEndIsNotUnderWhatHasEnded) {
  Event<> go_on;
  Fiber<int> next;
  auto first = spawn("first", [] {});
  first.stopped().then([&] {
    next = spawn("next", [&] {
      go_on.wait();
      return 1;
    });
  });
  first.join();
  spawn("another", [] {}).join();  // in the place of the first
  go_on.signal();
  EXPECT_EQ(next.join(), 1);
}

// --- each is told once -----------------------------------------------------------------------------------------------------------

// Each that ended told all below it once more: the square of the depth.
TEST_P(DeepStopTest, WhoEndsAfterAStopTellsNobodyTwice) {
  spawn("stops them", [&] {
    Chain chain(kDepth, GetParam());
    const std::uint64_t before = internal::SchedulerCore::current().tells();
    auto top = spawn("top", [&](const Signal& please_stop) { chain(please_stop); });
    chain.await();
    top.stop().join();
    EXPECT_EQ(chain.ended.size(), static_cast<std::size_t>(kDepth));
    EXPECT_LE(internal::SchedulerCore::current().tells() - before, 6U * kDepth);
  }).join();
}

TEST(StopOrderTest, OneThatCameBelowSomebodyWhoWasToldIsToldByTheNextStop) {
  Names told;
  Signal go_on;
  Signal late_is_there;
  Signal end;
  auto top = spawn("top", [&](const Signal& please_stop) {
    auto told_before = spawn("told before", [&](const Signal&) {
      go_on.wait();
      auto late = spawn("late", [&](const Signal& stop) {
        late_is_there.go();
        stop.wait();
        told.push_back("late");
      });
      end.wait();
      late.join();
    });
    please_stop.wait();
    told_before.join();
  });
  yield();
  top.stop();
  go_on.go();
  late_is_there.wait();
  yield();
  EXPECT_THAT(told, IsEmpty());
  top.stop();
  end.go();
  top.join();
  EXPECT_THAT(told, ElementsAre("late"));
}

TEST(StopOrderTest, OneThatAThreadMakesAfterItsStopIsToldByTheNextOfAnyAboveIt) {
  Signal made;
  Signal told;
  auto above = Thread::run("above", [&](const Signal& please_stop) {
    auto thread = Thread::run("thread", [&](const Signal& stop) {
      auto early = spawn("early", [](const Signal& its) { its.wait(); });
      stop.wait();
      early.join();  // all fibers that there were have been told
      auto late = spawn("late", [&](const Signal& its) {
        made.go();
        its.wait();
        told.go();
      });
      late.join();
    });
    please_stop.wait();
    thread.join();
  });
  above.stop();
  made.wait();
  EXPECT_FALSE(told);
  above.stop();
  told.wait();
  above.join();
}

}  // namespace
}  // namespace cooperative
