#include "mothreads/till.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "mothreads/clock.h"
#include "mothreads/internal/steady_timers.h"
#include "mothreads/internal/tills.h"
#include "mothreads/misuse.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "mothreads/until.h"
#include "tests/support/allocations.h"
#include "tests/support/scripted_context.h"
#include "tests/support/sleeping.h"

namespace mothreads::inline v0 {
namespace {

using testing::await;
using testing::live_allocations;
using testing::LogLines;
using testing::ScriptedContext;
using testing::VirtualClock;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class TillTest : public ::testing::Test {
 protected:
  VirtualClock clock;
  UseClock use{clock};
};

// Theirs: test_till_second_is_second, test_sleep. L1: it was up to 100 ms late.
TEST_F(TillTest, GoesAtItsTimeNeitherEarlyNorLateL1) {
  const Till till(absl::Seconds(1));
  clock.advance(absl::Seconds(1) - absl::Nanoseconds(1));
  EXPECT_FALSE(till);
  clock.advance(absl::Nanoseconds(1));
  EXPECT_TRUE(till);
}

TEST_F(TillTest, TakesEveryKindOfTime) {
  const Instant now = clock.now();
  const Till duration(absl::Seconds(1));
  const Till chrono(std::chrono::milliseconds(1000));
  const Till instant(now + std::chrono::seconds(1));
  const Till wall(absl::Now() + absl::Seconds(1));  // converted: it has this long to go on this clock
  clock.advance(absl::Milliseconds(900));
  EXPECT_FALSE(duration || chrono || instant);
  clock.advance(absl::Milliseconds(100));
  EXPECT_TRUE(duration && chrono && instant && wall);
}

TEST_F(TillTest, IsNotMadeFromANumberWithoutAUnit) {
  static_assert(!std::is_constructible_v<Till, int>);
  static_assert(!std::is_constructible_v<Till, std::int64_t>);
  static_assert(!std::is_constructible_v<Till, bool>);
  static_assert(!std::is_constructible_v<Till, double>);
  static_assert(!std::is_default_constructible_v<Till>);
  static_assert(!std::is_convertible_v<absl::Duration, Till>);
}

TEST_F(TillTest, OfATimeThatHasPassedHasGoneAtOnce) {
  EXPECT_TRUE(Till(absl::ZeroDuration()));
  EXPECT_TRUE(Till(-absl::Seconds(1)));
  EXPECT_TRUE(Till(-absl::InfiniteDuration()));
  EXPECT_TRUE(Till(clock.now()));
  EXPECT_TRUE(Till(Instant::min()));
  EXPECT_TRUE(Till(absl::Now() - absl::Seconds(1)));
  EXPECT_TRUE(Till(absl::InfinitePast()));
  EXPECT_EQ(clock.timers(), 0U);
}

TEST_F(TillTest, OfAVeryLongTimeStaysPending) {
  const Till longest(absl::InfiniteDuration());
  const Till long_one(absl::Hours(24 * 366 * 1000LL));
  const Till future(absl::InfiniteFuture());
  clock.advance(absl::Hours(24 * 366 * 100));
  EXPECT_FALSE(longest);
  EXPECT_FALSE(long_one);
  EXPECT_FALSE(future);
  EXPECT_EQ(clock.timers(), 3U);
}

// L2: it was told by the wall clock, which can be set.
TEST_F(TillTest, IsToldByTheSteadyClockL2) {
  static_assert(std::is_same_v<Instant::clock, std::chrono::steady_clock>);
  const Till till(absl::Now() + absl::Hours(1));
  const Instant start = clock.now();
  EXPECT_TRUE(clock.advance_to_next());
  EXPECT_TRUE(till);
  EXPECT_LE(clock.now() - start, std::chrono::hours(1));
  EXPECT_GT(clock.now() - start, std::chrono::minutes(59));
}

TEST_F(TillTest, DroppingItCancelsIt) {
  {
    const Till till(absl::Seconds(1));
    const Signal copy = till;
    EXPECT_EQ(clock.timers(), 1U);
  }
  EXPECT_EQ(clock.timers(), 0U);
}

// Theirs: test_till_create_speed. L7: all of them were sorted again at each tick.
TEST_F(TillTest, AnyNumberMayExistAndGoInOrderL7) {
  constexpr int kTills = 100'000;
  std::vector<Till> tills;
  tills.reserve(kTills);
  for (int i = 0; i < kTills; ++i) tills.emplace_back(absl::Microseconds(1 + (i * 7919) % kTills));
  EXPECT_EQ(clock.timers(), static_cast<std::size_t>(kTills));
  clock.advance(absl::Microseconds(kTills / 2));
  EXPECT_EQ(clock.timers(), static_cast<std::size_t>(kTills / 2));
  for (int i = 0; i < kTills; ++i) ASSERT_EQ(static_cast<bool>(tills[static_cast<std::size_t>(i)]), 1 + (i * 7919) % kTills <= kTills / 2);
  tills.clear();
  EXPECT_EQ(clock.timers(), 0U);
}

TEST_F(TillTest, FunctionsRunInTheOrderOfTheirTimesAndOfMakingForEqualOnes) {
  std::vector<std::string> order;
  const auto note = [&](const char* name) { return [&order, name] { order.push_back(name); }; };
  Till(absl::Seconds(3)).then(note("third"));
  Till(absl::Seconds(1)).then(note("first"));
  Till(absl::Seconds(2)).then(note("second"));
  Till(absl::Seconds(2)).then(note("second again"));
  Till(absl::Seconds(1)).then(note("first again"));
  clock.advance(absl::Seconds(3));
  EXPECT_THAT(order, ElementsAre("first", "first again", "second", "second again", "third"));
}

// L3: nobody held it, so it never fired.
TEST_F(TillTest, AFunctionOfAnUnheldOneRunsL3) {
  int runs = 0;
  const Signal pending;
  const Signal late;
  Till(absl::Seconds(1)).then([&] { ++runs; });
  (Till(absl::Seconds(1)) | pending).then([&] { ++runs; });
  (Till(absl::Seconds(1)) & late).then([&] { ++runs; });
  ((Till(absl::Seconds(1)) | pending) & late).then([&] { ++runs; });
  clock.advance(absl::Milliseconds(999));
  EXPECT_EQ(runs, 0);
  clock.advance(absl::Milliseconds(1));
  EXPECT_EQ(runs, 2);
  late.go();
  EXPECT_EQ(runs, 4);
  EXPECT_EQ(clock.timers(), 0U);
}

TEST_F(TillTest, AnUnheldOneIsFreedWhenItsFunctionHasRun) {
  const auto before = live_allocations();
  int runs = 0;
  Till(absl::Seconds(1)).then([held = std::make_unique<int>(1), &runs] { runs += *held; });
  EXPECT_GT(live_allocations(), before);
  clock.advance(absl::Seconds(1));
  EXPECT_EQ(runs, 1);
  EXPECT_EQ(live_allocations(), before);
}

TEST_F(TillTest, GoingByHandCancelsNothingButRunsTheFunctionOnce) {
  int runs = 0;
  const Till till(absl::Seconds(1));
  till.then([&] { ++runs; });
  EXPECT_TRUE(till.go());
  EXPECT_EQ(runs, 1);
  clock.advance(absl::Seconds(1));
  EXPECT_EQ(runs, 1);
}

TEST_F(TillTest, GoingByHandIsAStopNotATimeout) {
  const Till till(absl::Seconds(1));
  till.go();
  EXPECT_EQ(NEVER.wait(till).why(), Why::stopped);
  const Till expired(absl::Seconds(1));
  clock.advance(absl::Seconds(1));
  EXPECT_EQ(NEVER.wait(expired).why(), Why::timed_out);
}

// Theirs: test_till_in_loop.
TEST_F(TillTest, ALoopOverTillsLeavesNothingOnPleaseStop) {
  const Signal please_stop;
  ScriptedContext& worker = ScriptedContext::make("worker", clock);
  const auto before = live_allocations();
  for (int i = 0; i < 1000; ++i) {
    worker.script({[&] { clock.advance(absl::Milliseconds(1)); }});
    worker.run([&] { (Till(absl::Milliseconds(1)) | please_stop).wait(); });
    EXPECT_EQ(clock.timers(), 0U);
  }
  EXPECT_EQ(live_allocations(), before);
}

TEST_F(TillTest, ALoopOverFunctionsOfUnheldTillsLeavesNothingOnPleaseStop) {
  const Signal please_stop;
  const Signal shutdown;
  int runs = 0;
  const auto before = live_allocations();
  for (int i = 0; i < 1000; ++i) {
    (Till(absl::Milliseconds(1)) | please_stop).then([&] { ++runs; });
    (please_stop | shutdown | Till(absl::Milliseconds(1))).then([&] { ++runs; });
    clock.advance(absl::Milliseconds(1));
  }
  EXPECT_EQ(runs, 2000);
  EXPECT_EQ(live_allocations(), before);
}

TEST_F(TillTest, ATillMadeForAFunctionThatHasRunIsFreedBeforeItsTime) {
  const auto before = live_allocations();
  int runs = 0;
  for (int i = 0; i < 100; ++i) {
    const Signal trigger;
    (Till(absl::Hours(1)) | trigger).then([&] { ++runs; });
    trigger.go();
  }
  EXPECT_EQ(runs, 100);
  EXPECT_EQ(clock.timers(), 0U);
  EXPECT_EQ(live_allocations(), before);
}

// Theirs: test_loop.
TEST_F(TillTest, AWorkerThatTicksIsStopped) {
  std::atomic<int> ticks{0};
  auto worker = Thread::run("worker", [&](Signal please_stop) {
    while (!please_stop) {
      (Till(absl::Milliseconds(100)) | please_stop).wait();
      ++ticks;
    }
  });
  for (int i = 0; i < 10; ++i) {
    clock.await_timers(1);
    clock.advance(absl::Milliseconds(100));
    await([&] { return ticks > i; });
  }
  EXPECT_EQ(ticks, 10);
  worker.stop().join();
}

// Theirs: test_timeout.
TEST_F(TillTest, StoppingDoesNotWaitForALongTill) {
  const Instant start = clock.now();
  auto worker = Thread::run("worker", [](Signal please_stop) {
    (Till(absl::Seconds(10)) | please_stop).wait();
    EXPECT_TRUE(please_stop);
  });
  clock.await_timers(1);
  worker.stop().join();
  EXPECT_EQ(clock.now(), start);
}

TEST_F(TillTest, IsNamedByItsTime) {
  const Till till(Instant(std::chrono::milliseconds(1'234'567'890)));
  EXPECT_EQ(till.name(), "till 1234567.890 s of the clock");
  EXPECT_EQ((till | Signal("stop")).name(), "till 1234567.890 s of the clock | stop");
}

// --- the early end -------------------------------------------------------------------------------------------------------

TEST_F(TillTest, AtAStopThoseThatExistGoEarlyOnceAndCountAsAStop) {
  const Till first(absl::Hours(1));
  const Till endless(absl::InfiniteDuration());
  int runs = 0;
  first.then([&] { ++runs; });
  Till(absl::Hours(1)).then([&] { ++runs; });
  internal::send_tills_early();
  EXPECT_TRUE(first);
  EXPECT_TRUE(endless);
  EXPECT_EQ(runs, 2);
  EXPECT_EQ(clock.timers(), 0U);
  EXPECT_EQ(NEVER.wait(first).why(), Why::stopped);
  clock.advance(absl::Hours(1));
  EXPECT_EQ(runs, 2);
}

TEST_F(TillTest, SaysWhetherItsTimeCameOrItWentEarly) {
  const Till early(absl::Hours(1));
  const Till in_time(absl::Seconds(1));
  const Till by_hand(absl::Hours(1));
  const Till past(absl::ZeroDuration());
  EXPECT_FALSE(early.went_early());
  EXPECT_FALSE(past.went_early());
  by_hand.go();
  EXPECT_TRUE(by_hand.went_early());
  clock.advance(absl::Seconds(1));
  EXPECT_FALSE(in_time.went_early());
  internal::send_tills_early();
  EXPECT_TRUE(early.went_early());
  EXPECT_FALSE(in_time.went_early());
}

// `cancel | Till(60 s)` ended at the stop as if the time had passed.
TEST_F(TillTest, WhatItIsCombinedWithSaysTheSameAsALimit) {
  const Signal cancel;
  const Till till(absl::Minutes(1));
  const Signal either = cancel | till;
  const Signal both = till & DONE;
  internal::send_tills_early();
  EXPECT_TRUE(till.went_early());
  for (const Signal& limit : {either, both, cancel | till, cancel | either}) {
    EXPECT_TRUE(limit);
    EXPECT_EQ(NEVER.wait(limit).why(), Why::stopped);
  }
}

// A function of a Till that goes early may make the time of another pass.
TEST_F(TillTest, OneThatIsDueWhileOthersAreSentEarlyIsNotEarly) {
  const Till sent(absl::Seconds(1));
  std::optional<Till> made_meanwhile;
  sent.then([&] {
    made_meanwhile.emplace(absl::Seconds(1));
    clock.advance(absl::Seconds(1));
  });
  internal::send_tills_early();
  EXPECT_TRUE(sent.went_early());
  EXPECT_TRUE(*made_meanwhile);
  EXPECT_FALSE(made_meanwhile->went_early());
}

TEST_F(TillTest, OfWhichAFunctionWasTakenBackLeavesTheTimersWithItsHandle) {
  const auto before = live_allocations();
  {
    const Till till(absl::Hours(1));
    EXPECT_TRUE(till.remove_then(till.then([] {})));
    const Signal either = Signal() | Till(absl::Hours(1));
    EXPECT_TRUE(either.remove_then(either.then([] {})));
    EXPECT_EQ(clock.timers(), 2U);
  }
  EXPECT_EQ(clock.timers(), 0U);
  EXPECT_EQ(live_allocations(), before);
}

// L6: after the shutdown had begun every Till was true, and loops over Tills spun.
TEST_F(TillTest, ThoseMadeAfterAStopRunNormallyL6) {
  internal::send_tills_early();
  const Till grace(absl::Seconds(5));
  EXPECT_FALSE(grace);
  clock.advance(absl::Seconds(5) - absl::Nanoseconds(1));
  EXPECT_FALSE(grace);
  clock.advance(absl::Nanoseconds(1));
  EXPECT_TRUE(grace);
  EXPECT_EQ(NEVER.wait(grace).why(), Why::timed_out);
}

TEST_F(TillTest, DurationsAndDeadlinesNeverGoEarly) {
  ScriptedContext& waiter = ScriptedContext::make("waiter", clock);
  const auto send_early_then_advance = [&] {
    internal::send_tills_early();
    EXPECT_EQ(clock.timers(), 1U);
    clock.advance(absl::Seconds(1));
  };
  waiter.script({send_early_then_advance, send_early_then_advance});
  const Instant start = clock.now();
  waiter.run([&] {
    EXPECT_EQ(NEVER.wait(absl::Seconds(1)).why(), Why::timed_out);
    EXPECT_EQ(NEVER.wait(clock.now() + std::chrono::seconds(1)).why(), Why::timed_out);
  });
  EXPECT_EQ(clock.now() - start, std::chrono::seconds(2));
}

// Theirs: test_disabled_till.
TEST_F(TillTest, IsDoneOnceTheTimersHaveEnded) {
  internal::set_tills_ended(true);
  absl::Cleanup go_on = [] { internal::set_tills_ended(false); };
  const Till till(absl::Seconds(10'000'000));
  EXPECT_EQ(till, DONE);
  till.wait();
}

// --- on the library's timer thread ---------------------------------------------------------------------------------------

class TillThreadTest : public ::testing::Test {
 protected:
  // Runs `f` in a function of a Till on the timer thread. A Till that went before it had the function runs that here: then
  // another one is tried.
  template <typename F>
  void run_on_the_timer_thread(F f) {
    while (true) {
      std::latch ran(1);
      bool was_here = false;
      Till(absl::Milliseconds(2)).then([&, here = std::this_thread::get_id()] {
        was_here = std::this_thread::get_id() == here;
        if (!was_here) f();
        ran.count_down();
      });
      ran.wait();
      if (!was_here) return;
    }
  }
};

TEST_F(TillThreadTest, AFunctionRunsOnTheTimerThread) {
  std::string name;
  run_on_the_timer_thread([&] { name = internal::Context::current().name; });
  EXPECT_EQ(name, "timers");
}

// Theirs: test_blocking_then. L5: a function that blocked held up every other Till.
TEST_F(TillThreadTest, AFunctionThatWaitsThereIsRefusedL5) {
  std::string refused;
  bool zero_limit_is_no_wait = false;
  run_on_the_timer_thread([&] {
    zero_limit_is_no_wait = Signal().wait(absl::ZeroDuration()).why() == Why::timed_out;
    try {
      Till(absl::Seconds(1)).wait();
    } catch (const Misuse& misuse) {
      refused = misuse.what();
    }
  });
  EXPECT_THAT(refused, HasSubstr("Deadlock detected"));
  EXPECT_TRUE(zero_limit_is_no_wait);
}

// L5 and G2: what a function threw ended the timer thread; all Tills fired and all later ones were true.
TEST_F(TillThreadTest, AFunctionThatThrowsThereIsLoggedAndTheOthersGoOnG2) {
  LogLines lines;
  const Till unaffected(absl::Hours(1));
  Till(absl::Milliseconds(1)).then([] { throw std::runtime_error("from a function"); },
                                   [](const std::exception_ptr&) { throw std::runtime_error("from its handler"); });
  const Till after(absl::Milliseconds(2));
  after.wait();
  run_on_the_timer_thread([] {});
  EXPECT_FALSE(unaffected);
  EXPECT_FALSE(Till(absl::Hours(1)));
  EXPECT_THAT(lines.take_texts(), ElementsAre(HasSubstr("from its handler")));
}

// L4: a Till made while the timers ended never fired, and its waiter hung.
TEST_F(TillThreadTest, OneMadeAfterTheTimerThreadHasEndedGoesL4) {
  run_on_the_timer_thread([] {});
  internal::steady_timers().end_thread();
  EXPECT_FALSE(internal::steady_timers().has_thread());
  const Till till(absl::Milliseconds(1));
  till.wait();
  EXPECT_TRUE(till);
  EXPECT_TRUE(internal::steady_timers().has_thread());
}

TEST_F(TillThreadTest, OnesMadeWhileTheTimerThreadEndsGoL4) {
  std::atomic<bool> ending{true};
  auto ender = Thread::run("ender", [&](Signal) {
    while (ending) {
      // As the end of the program does it.
      internal::set_tills_ended(true);
      internal::steady_timers().end_thread();
      internal::send_tills_early();
      internal::set_tills_ended(false);
    }
  });
  for (int i = 0; i < 200; ++i) Till(absl::Microseconds(50)).wait();
  ending = false;
  ender.join();
}

// L8: the "not enabled" warning was inverted, and never printed. There is nothing to warn of: a Till needs no set-up.
TEST_F(TillThreadTest, MakingOneLogsNothingL8) {
  LogLines lines;
  internal::steady_timers().end_thread();
  Till(absl::Microseconds(1)).wait();
  EXPECT_THAT(lines.take_texts(), IsEmpty());
}

TEST_F(TillThreadTest, IsNeverEarly) {
  for (int i = 0; i < 20; ++i) {
    const auto start = std::chrono::steady_clock::now();
    Till(absl::Microseconds(100)).wait();
    EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::microseconds(100));
  }
}

}  // namespace
}  // namespace mothreads
