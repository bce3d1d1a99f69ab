#include "mothreads/internal/wait/wait.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/misuse.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "mothreads/until.h"
#include "tests/support/allocations.h"
#include "tests/support/scripted_context.h"
#include "tests/support/sleeping.h"

namespace mothreads::inline v0::internal {
namespace {

using testing::allocations_here;
using testing::await_sleeping;
using testing::LogLines;
using testing::ScriptedContext;
using testing::VirtualClock;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

constexpr WaitDescription kSomething{"waits for something", nullptr, nullptr};

// --- the word ------------------------------------------------------------------------------------------------------------

TEST(WaitTest, OneWakerWins) {
  ScriptedContext::make("waiter").run([] {
    Wait wait(kSomething);
    WaitNode first(wait, Why::ready);
    WaitNode second(wait, Why::stopped);
    EXPECT_FALSE(wait.context().is_finished());
    EXPECT_TRUE(first.claim());
    EXPECT_FALSE(first.claim());
    EXPECT_FALSE(second.claim());
    EXPECT_FALSE(wait.claim_self());
    first.finish();
    EXPECT_TRUE(wait.context().is_finished());
    EXPECT_EQ(wait.park(Limit()), Why::ready);
  });
}

TEST(WaitTest, TheWinnerMaySayAnotherWhy) {
  ScriptedContext::make("waiter").run([] {
    Wait wait(kSomething);
    WaitNode node(wait, Why::ready);
    EXPECT_TRUE(node.claim());
    node.finish(Why::closed);
    EXPECT_EQ(wait.park(Limit()), Why::closed);
  });
}

TEST(WaitTest, ALateWakeOfAnEarlierWaitFails) {
  ScriptedContext::make("waiter").run([] {
    WaitNode late;
    {
      Wait earlier(kSomething);
      late.arm(earlier, Why::ready);
      EXPECT_TRUE(earlier.claim_self());
      earlier.context().finish(Why::timed_out);
    }
    Wait later(kSomething);
    EXPECT_FALSE(late.claim());
    WaitNode node(later, Why::ready);
    EXPECT_TRUE(node.claim());
    node.finish();
  });
}

TEST(WaitTest, AContextThatDoesNotSleepIsNotResumed) {
  ScriptedContext& context = ScriptedContext::make("waiter");
  context.run([] {
    Wait wait(kSomething);
    WaitNode node(wait, Why::ready);
    EXPECT_TRUE(node.claim());
    node.finish();
  });
  EXPECT_EQ(context.resumes(), 0);
}

// --- parking -------------------------------------------------------------------------------------------------------------

// A claimed wait does not return before its outcome is there: the waker may be moving an item to it.
TEST(WaitParkTest, WaitsForAWakerThatHasClaimedIt) {
  VirtualClock clock;
  ScriptedContext& context = ScriptedContext::make("waiter", clock);
  context.run([&] {
    Wait wait(kSomething);
    WaitNode node(wait, Why::ready);
    ASSERT_TRUE(node.claim());
    context.script({[&] {
      clock.advance(absl::Hours(1));  // too late
      node.finish();
    }});
    // Its limit has come already, but the waker was first.
    EXPECT_EQ(wait.park(Limit(absl::ZeroDuration())), Why::ready);
  });
  EXPECT_EQ(context.sleeps(), 1);
}

TEST(WaitParkTest, APauseComesBackEarlyAndTheWaitGoesOn) {
  VirtualClock clock;
  ScriptedContext& context = ScriptedContext::make("waiter", clock);
  const Instant start = clock.now();
  const auto pass_time = [&] { clock.advance_to_next(); };
  context.script({pass_time, pass_time});
  context.run([&] {
    const Until three(absl::Seconds(3));
    const Limit limit(three);
    Wait wait(kSomething);
    EXPECT_EQ(wait.park(limit, start + std::chrono::seconds(1)), std::nullopt);
    EXPECT_EQ(clock.now() - start, std::chrono::seconds(1));
    EXPECT_EQ(wait.park(limit, start + std::chrono::seconds(9)), Why::timed_out);
  });
  EXPECT_EQ(clock.now() - start, std::chrono::seconds(3));
  EXPECT_EQ(clock.timers(), 0U);
}

TEST(WaitParkTest, APauseThatHasComeDoesNotSleep) {
  VirtualClock clock;
  ScriptedContext& context = ScriptedContext::make("waiter", clock);
  context.run([&] {
    {
      Wait wait(kSomething);
      EXPECT_EQ(wait.park({}, clock.now()), std::nullopt);
      EXPECT_TRUE(wait.claim_self());
      wait.context().finish(Why::timed_out);
    }
    Wait without_time(kSomething);
    EXPECT_EQ(without_time.park(Limit(absl::ZeroDuration()), clock.now() + std::chrono::seconds(1)), Why::timed_out);
  });
  EXPECT_EQ(context.sleeps(), 0);
}

// In each place where a waker may come: it is neither lost nor doubled.
TEST(WaitParkTest, AWakerEndsAWaitThatPauses) {
  for (const bool comes_first : {true, false}) {
    VirtualClock clock;
    ScriptedContext& context = ScriptedContext::make("waiter", clock);
    context.run([&] {
      Wait wait(kSomething);
      WaitNode node(wait, Why::ready);
      const auto wake = [&] {
        EXPECT_TRUE(node.claim());
        node.finish();
      };
      const auto pause = [&] { clock.advance(absl::Seconds(1)); };
      context.script({[&] {
        if (comes_first) wake();
        pause();
        if (!comes_first) wake();
      }});
      EXPECT_EQ(wait.park({}, clock.now() + std::chrono::seconds(1)), Why::ready);
    });
    EXPECT_EQ(context.resumes(), 1) << comes_first;
  }
}

TEST(WaitParkTest, AWakerEndsAWaitAfterItsPause) {
  VirtualClock clock;
  ScriptedContext& context = ScriptedContext::make("waiter", clock);
  context.script({[&] { clock.advance(absl::Seconds(1)); }});
  context.run([&] {
    Wait wait(kSomething);
    WaitNode node(wait, Why::ready);
    EXPECT_EQ(wait.park({}, clock.now() + std::chrono::seconds(1)), std::nullopt);
    EXPECT_TRUE(node.claim());
    node.finish();
    EXPECT_EQ(wait.park({}), Why::ready);
  });
  EXPECT_EQ(context.sleeps(), 1);
  EXPECT_EQ(context.resumes(), 1);  // by the pause
}

TEST(WaitParkTest, AllocatesNothing) {
  VirtualClock clock;
  ScriptedContext& context = ScriptedContext::make("waiter", clock);
  context.script({[&] { clock.advance_to_next(); }});
  std::uint64_t allocated = 1;
  context.run([&] {
    const auto before = allocations_here();
    Wait wait(kSomething);
    static_cast<void>(wait.park(Limit(absl::Seconds(1))));
    allocated = allocations_here() - before;
  });
  EXPECT_EQ(allocated, 0U);
}

// --- who must not wait ---------------------------------------------------------------------------------------------------

void write_tea(const void*, char* buffer, std::size_t size) { std::snprintf(buffer, size, "tea"); }

TEST(WaitMisuseTest, OnAThreadOfTheLibraryIsRefusedBeforeAnythingChanges) {
  ScriptedContext& context = ScriptedContext::make_library_thread();
  context.run([&] {
    try {
      Wait wait({"drinks", nullptr, write_tea});
      FAIL() << "it waits";
    } catch (const Misuse& misuse) {
      EXPECT_THAT(misuse.what(), HasSubstr("Deadlock detected"));
      EXPECT_THAT(misuse.what(), HasSubstr("drinks \"tea\""));
    }
    EXPECT_TRUE(context.is_finished());
  });
}

TEST(WaitMisuseTest, InsideAFunctionOfThenIsReported) {
  LogLines lines;
  ScriptedContext& context = ScriptedContext::make("goer");
  context.care.callbacks_running = 1;
  context.run([&] { Wait wait({"drinks", nullptr, write_tea}); });
  EXPECT_THAT(lines.take_texts(), ElementsAre(HasSubstr("drinks \"tea\"")));
}

// --- lists ---------------------------------------------------------------------------------------------------------------

// Several waits of as many contexts.
struct Waiters {
  explicit Waiters(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      ScriptedContext& context = ScriptedContext::make("waiter " + std::to_string(i));
      context.on_resume = [this, i] { resumed.push_back(i); };
      context.run([&] {
        waits.push_back(std::make_unique<Wait>(kSomething));
        nodes.push_back(std::make_unique<WaitNode>(*waits.back(), Why::ready));
        context.fall_asleep();
      });
    }
  }

  std::vector<std::unique_ptr<Wait>> waits;
  std::vector<std::unique_ptr<WaitNode>> nodes;
  std::vector<std::size_t> resumed;
};

std::vector<const WaitNode*> contents(const WaitList& list) {
  std::vector<const WaitNode*> nodes;
  for (const WaitNode* node = list.front(); node != nullptr; node = list.after(*node)) nodes.push_back(node);
  return nodes;
}

TEST(WaitListTest, KeepsTheOrderInWhichTheyCame) {
  Waiters waiters(3);
  WaitList list;
  EXPECT_TRUE(list.is_empty());
  list.push_back(*waiters.nodes[1]);
  list.push_back(*waiters.nodes[2]);
  list.push_front(*waiters.nodes[0]);
  EXPECT_THAT(contents(list), ElementsAre(waiters.nodes[0].get(), waiters.nodes[1].get(), waiters.nodes[2].get()));
}

TEST(WaitListTest, AnyOneCanBeRemovedAndAgain) {
  for (std::size_t removed = 0; removed < 3; ++removed) {
    Waiters waiters(3);
    WaitList list;
    for (auto& node : waiters.nodes) list.push_back(*node);
    list.remove(*waiters.nodes[removed]);
    EXPECT_FALSE(waiters.nodes[removed]->is_linked());
    list.remove(*waiters.nodes[removed]);
    EXPECT_EQ(contents(list).size(), 2U);
    list.push_back(*waiters.nodes[removed]);
    EXPECT_EQ(contents(list).back(), waiters.nodes[removed].get());
    for (auto& node : waiters.nodes) list.remove(*node);
    EXPECT_TRUE(list.is_empty());
  }
}

TEST(WaitListTest, ClaimFrontSkipsThoseThatEndOtherwise) {
  Waiters waiters(3);
  WaitList list;
  for (auto& node : waiters.nodes) list.push_back(*node);
  EXPECT_TRUE(waiters.waits[0]->claim_self());
  EXPECT_EQ(list.claim_front(), waiters.nodes[1].get());
  EXPECT_FALSE(waiters.nodes[1]->is_linked());
  EXPECT_TRUE(waiters.nodes[0]->is_linked());  // it leaves by itself
  EXPECT_EQ(list.claim_front(), waiters.nodes[2].get());
  EXPECT_EQ(list.claim_front(), nullptr);
  list.remove(*waiters.nodes[0]);
  EXPECT_TRUE(list.is_empty());
}

TEST(WaitListTest, TakeClaimedEmptiesItAndFinishesInOrderWhoCouldBeClaimed) {
  Waiters waiters(4);
  WaitList list;
  for (auto& node : waiters.nodes) list.push_back(*node);
  EXPECT_TRUE(waiters.waits[2]->claim_self());
  Claimed claimed = list.take_claimed();
  EXPECT_TRUE(list.is_empty());
  EXPECT_FALSE(claimed.is_empty());
  EXPECT_THAT(waiters.resumed, IsEmpty());
  claimed.finish_all(Why::closed);
  EXPECT_TRUE(claimed.is_empty());
  EXPECT_THAT(waiters.resumed, ElementsAre(0, 1, 3));
  EXPECT_EQ(waiters.waits[0]->context().outcome(), Why::closed);
  EXPECT_FALSE(waiters.waits[2]->context().is_finished());
}

TEST(WaitListTest, ClaimedWaitersCanBeHandedOn) {
  Waiters waiters(2);
  Claimed first;
  for (auto& node : waiters.nodes) {
    ASSERT_TRUE(node->claim());
    first.add(*node);
  }
  Claimed second = std::move(first);
  Claimed third;
  third = std::move(second);
  // NOLINTNEXTLINE(bugprone-use-after-move): what is left behind is empty.
  EXPECT_TRUE(first.is_empty() && second.is_empty());
  third.finish_all();
  EXPECT_THAT(waiters.resumed, ElementsAre(0, 1));
}

// --- what a report says --------------------------------------------------------------------------------------------------

TEST(WaitReportTest, SaysWhatASleeperWaitsForAndNothingOtherwise) {
  const Signal signal("tea");
  auto waiter = Thread::run("waiter", [&](Signal) { signal.wait(); });
  const auto before = std::chrono::steady_clock::now();
  await_sleeping(waiter.thread(), "waits for signal tea");
  EXPECT_EQ(testing::sleeps_on(waiter.thread())->what, "waits for signal tea");
  EXPECT_LE(testing::sleeps_on(waiter.thread())->since, std::chrono::steady_clock::now());
  EXPECT_GE(testing::sleeps_on(waiter.thread())->since, before - std::chrono::hours(1));
  signal.go();
  const Thread thread = waiter.thread();
  waiter.join();
  EXPECT_FALSE(testing::sleeps_on(thread).has_value());
}

TEST(WaitReportTest, CutsALongName) {
  const Signal signal(std::string(300, 'x'));
  auto waiter = Thread::run("waiter", [&](Signal) { signal.wait(); });
  await_sleeping(waiter.thread(), "waits for signal xxx");
  const std::string what = testing::sleeps_on(waiter.thread())->what;
  EXPECT_THAT(what, StartsWith("waits for signal xxx"));
  EXPECT_LT(what.size(), 96U);
  signal.go();
}

}  // namespace
}  // namespace mothreads::internal
