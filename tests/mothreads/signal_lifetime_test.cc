#include "mothreads/signal.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "mothreads/clock.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "mothreads/till.h"
#include "tests/support/allocations.h"
#include "tests/support/scripted_context.h"

namespace mothreads::inline v0 {
namespace {

using testing::live_allocations;
using testing::ScriptedContext;
using testing::VirtualClock;

// --- what keeps a combination, and what it leaves behind -----------------------------------------------------------------

TEST(SignalOrTest, KeepsItsInputs) {
  Signal either;
  std::vector<Signal> handles;
  {
    const Signal a("a");
    const Signal b("b");
    either = a | b;
  }
  EXPECT_EQ(either.name(), "a | b");  // reads the inputs, which nobody else holds
  EXPECT_FALSE(either);
}

TEST(SignalOrTest, AWaiterOnAnUnheldOneIsReleased) {
  const Signal a;
  const Signal b;
  ScriptedContext& waiter = ScriptedContext::make("waiter");
  waiter.script({[&] { b.go(); }});
  waiter.run([&] { (a | b).wait(); });
  EXPECT_EQ(waiter.sleeps(), 1);
}

// L3 and its like: functions of combinations that nobody holds were silently dropped.
TEST(SignalOrTest, AFunctionOfAnUnheldOneRuns) {
  const Signal a;
  const Signal b;
  bool ran = false;
  (a | b).then([&] { ran = true; });
  b.go();
  EXPECT_TRUE(ran);
}

TEST(SignalAndTest, AFunctionOfAnUnheldOneRuns) {
  const Signal a;
  const Signal b;
  bool ran = false;
  (a & b).then([&] { ran = true; });
  a.go();
  EXPECT_FALSE(ran);
  b.go();
  EXPECT_TRUE(ran);
}

TEST(SignalOrTest, AFunctionOfAnUnheldTreeRuns) {
  const Signal a;
  const Signal b;
  const Signal c;
  const Signal d;
  int runs = 0;
  (((a | b) & c) | d).then([&] { ++runs; });
  ((a & b) | (c & d)).then([&] { ++runs; });
  a.go();
  EXPECT_EQ(runs, 0);
  c.go();
  EXPECT_EQ(runs, 1);
  d.go();
  EXPECT_EQ(runs, 2);
}

TEST(SignalOrTest, AFunctionNobodyCanMakeRunIsFreed) {
  auto held = std::make_shared<int>(1);
  std::weak_ptr<int> watched = held;
  Signal a;
  {
    const Signal b;
    const Signal c;
    ((a | b) & c).then([held = std::move(held)] { ADD_FAILURE() << "nobody let it go"; });
    EXPECT_FALSE(watched.expired());
  }
  // b and c are gone, so only `a` is left, which alone cannot make it go.
  a = Signal();
  EXPECT_TRUE(watched.expired());
}

// A loop over `(Till(...) | please_stop).then(f)` must not fill please_stop.
TEST(SignalOrTest, AnUnheldOneThatHasRunIsFreedAlthoughItsOtherInputLives) {
  const Signal other;
  const auto before = live_allocations();
  for (int i = 0; i < 100; ++i) {
    int runs = 0;
    const Signal a;
    (a | other).then([&] { ++runs; });
    ((a | Signal()) | other).then([&] { ++runs; });
    a.go();
    EXPECT_EQ(runs, 2);
  }
  EXPECT_EQ(live_allocations(), before);
  other.go();
}

TEST(SignalOrTest, AnUnheldOneThatWasMadeToGoByHandIsFreedAlthoughItsInputsLive) {
  const Signal a;
  const Signal b;
  const auto before = live_allocations();
  int runs = 0;
  {
    const Signal either = a | b;
    either.then([&] { ++runs; });
    either.go();
  }
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(live_allocations(), before);
}

// What is kept for one function alone goes with it; what somebody else needs stays.
TEST(SignalOrTest, WhatWasMadeForAFunctionIsFreedWithItUnlessSomebodyElseUsesIt) {
  const Signal a;
  const Signal b;
  const auto before = live_allocations();
  for (int i = 0; i < 100; ++i) {
    const Signal trigger;
    int runs = 0;
    ((a | b) | trigger).then([&] { ++runs; });
    (((a & b) | (b & a)) | trigger).then([&] { ++runs; });
    trigger.go();
    EXPECT_EQ(runs, 2);
  }
  EXPECT_EQ(live_allocations(), before);
  int held_runs = 0;
  int shared_runs = 0;
  const Signal held = a | b;
  {
    const Signal trigger;
    const Signal shared = a & b;
    (held | trigger).then([] {});
    (shared | trigger).then([] {});
    (shared | Signal()).then([&] { ++shared_runs; });
    trigger.go();
  }
  held.then([&] { ++held_runs; });
  a.go();
  EXPECT_EQ(held_runs, 1);
  EXPECT_EQ(shared_runs, 0);
  b.go();
  EXPECT_EQ(shared_runs, 1);
}

// Theirs: test_job_queue_in_signal. Dropped combinations leave nothing in their inputs, in whatever order they are dropped.
enum class DropOrder { oldest_first, newest_first, inside_out };

void drop(std::vector<Signal>& signals, DropOrder order) {
  if (order == DropOrder::oldest_first) std::reverse(signals.begin(), signals.end());
  if (order == DropOrder::inside_out) {
    std::rotate(signals.begin(), signals.begin() + static_cast<std::ptrdiff_t>(signals.size() / 2), signals.end());
  }
  while (!signals.empty()) signals.pop_back();
}

std::string name_of(DropOrder order) {
  if (order == DropOrder::oldest_first) return "OldestFirst";
  return order == DropOrder::newest_first ? "NewestFirst" : "InsideOut";
}

class SignalDropTest : public ::testing::TestWithParam<DropOrder> {};

// G4: what a dropped `a | b` left behind was found by a linear search.
TEST_P(SignalDropTest, DroppedOrsLeaveNothingBehindG4) {
  const Signal main;
  std::vector<Signal> ors;
  ors.reserve(10'000);
  const auto before = live_allocations();
  for (int i = 0; i < 10'000; ++i) ors.push_back(main | Signal());
  EXPECT_EQ(live_allocations() - before, 20'000);
  drop(ors, GetParam());
  EXPECT_EQ(live_allocations(), before);
  main.go();
}

// G3: an AND stayed with its inputs for ever.
TEST_P(SignalDropTest, DroppedAndsLeaveNothingBehindG3) {
  const Signal main;
  std::vector<Signal> ands;
  ands.reserve(10'000);
  const auto before = live_allocations();
  for (int i = 0; i < 10'000; ++i) ands.push_back(main & Signal());
  EXPECT_EQ(live_allocations() - before, 20'000);
  drop(ands, GetParam());
  EXPECT_EQ(live_allocations(), before);
  main.go();
}

INSTANTIATE_TEST_SUITE_P(All, SignalDropTest,
                         ::testing::Values(DropOrder::oldest_first, DropOrder::newest_first, DropOrder::inside_out),
                         [](const auto& order) { return name_of(order.param); });

// G7: the clean-up of a combination took its input's mutex, wherever it happened to run.
TEST(SignalOrTest, TheLastHandleMayGoWithAFunctionOfTheInputG7) {
  const Signal input;
  // Destroyed when the function has run, within input.go().
  input.then([either = input | Signal()] { EXPECT_TRUE(either); });
  // Destroyed by remove_then().
  const ThenId id = input.then([both = input & Signal()] { EXPECT_FALSE(both); });
  EXPECT_TRUE(input.remove_then(id));
  // Destroyed inside the function.
  auto held = std::make_unique<Signal>(input & Signal());
  input.then([&] { held.reset(); });
  EXPECT_TRUE(input.go());
  EXPECT_EQ(held, nullptr);
}

// --- long chains ---------------------------------------------------------------------------------------------------------

constexpr int kLinks = 100'000;
// So small that a few thousand nested calls overflow it.
constexpr std::size_t kSmallStack = 256 * 1024;

void on_a_small_stack(const std::function<void()>& f) {
  Thread::run(ThreadOptions{.name = "small stack", .stack_size = kSmallStack}, [&](Signal) { f(); }).join();
}

TEST(SignalChainTest, OfOrsGoesAndIsDroppedWithoutRecursion) {
  on_a_small_stack([] {
    const auto before = live_allocations();
    {
      const Signal root("root");
      Signal chain = root;
      for (int i = 0; i < kLinks; ++i) chain = chain | Signal();
      EXPECT_FALSE(chain);
      EXPECT_LE(chain.name().size(), 100U);
      EXPECT_TRUE(root.go());
      EXPECT_TRUE(chain);
    }
    {
      Signal chain;
      for (int i = 0; i < kLinks; ++i) chain = Signal() | chain;
    }
    EXPECT_EQ(live_allocations(), before);
  });
}

TEST(SignalChainTest, OfAndsGoesAndIsDroppedWithoutRecursion) {
  on_a_small_stack([] {
    const auto before = live_allocations();
    {
      const Signal root;
      const Signal other;
      Signal chain = root;
      for (int i = 0; i < kLinks; ++i) chain = chain & other;
      EXPECT_TRUE(root.go());
      EXPECT_FALSE(chain);
      EXPECT_TRUE(other.go());
      EXPECT_TRUE(chain);
    }
    {
      Signal chain;
      for (int i = 0; i < kLinks; ++i) chain = chain & Signal();
    }
    EXPECT_EQ(live_allocations(), before);
  });
}

TEST(SignalChainTest, WithAFunctionAtItsEndIsKeptAndFreedWithoutRecursion) {
  on_a_small_stack([] {
    const auto before = live_allocations();
    int runs = 0;
    for (const bool goes : {true, false}) {
      Signal root;
      {
        Signal chain = root;
        for (int i = 0; i < kLinks; ++i) chain = chain | Signal();
        chain.then([&] { ++runs; });
      }
      if (goes) root.go();
      EXPECT_EQ(runs, 1);
    }
    EXPECT_EQ(live_allocations(), before);
  });
}

// Theirs: test_memory_cleanup_with_till (skipped there).
TEST(SignalChainTest, OfTillsGoesAtOnceAndLeavesNothing) {
  VirtualClock clock;
  UseClock use(clock);
  on_a_small_stack([&] {
    const auto before = live_allocations();
    {
      const Signal trigger;
      Signal root = trigger;
      for (int i = 0; i < kLinks; ++i) root = root | Till(absl::Seconds(100'000));
      EXPECT_EQ(clock.timers(), static_cast<std::size_t>(kLinks));
      trigger.go();
      root.wait();
    }
    EXPECT_EQ(clock.timers(), 0U);
    EXPECT_EQ(live_allocations(), before);
  });
}

TEST(SignalChainTest, AWideOneReleasesAll) {
  const Signal root;
  std::vector<Signal> ors;
  for (int i = 0; i < 10'000; ++i) ors.push_back(root | Signal());
  root.go();
  EXPECT_TRUE(std::ranges::all_of(ors, [](const Signal& either) { return static_cast<bool>(either); }));
}

}  // namespace
}  // namespace mothreads
