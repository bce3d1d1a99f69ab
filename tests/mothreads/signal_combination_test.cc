#include "mothreads/signal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
#include "tests/support/sleeping.h"

namespace mothreads::inline v0 {
namespace {

using testing::await_sleeping;
using testing::live_allocations;
using testing::ScriptedContext;
using testing::VirtualClock;
using ::testing::ElementsAre;

using Order = std::vector<std::string>;

// --- combinations --------------------------------------------------------------------------------------------------------

TEST(SignalOrTest, GoesWithEither) {
  for (const bool first : {true, false}) {
    const Signal a;
    const Signal b;
    const Signal either = a | b;
    EXPECT_FALSE(either);
    EXPECT_TRUE((first ? a : b).go());
    EXPECT_TRUE(either);
    EXPECT_FALSE(first ? b : a);
    EXPECT_FALSE(either.go());
  }
}

TEST(SignalAndTest, GoesWithTheLast) {
  for (const bool first : {true, false}) {
    const Signal a;
    const Signal b;
    const Signal both = a & b;
    (first ? a : b).go();
    EXPECT_FALSE(both);
    (first ? b : a).go();
    EXPECT_TRUE(both);
  }
}

TEST(SignalOrTest, GoingByHandDoesNotTouchTheInputs) {
  const Signal a;
  const Signal b;
  const Signal either = a | b;
  const Signal both = a & b;
  EXPECT_TRUE(either.go());
  EXPECT_TRUE(both.go());
  EXPECT_FALSE(a);
  EXPECT_FALSE(b);
  a.go();
  b.go();
}

TEST(SignalOrTest, WithFalseIsTheSignalAndWithTrueIsDone) {
  const Signal a;
  EXPECT_EQ(a | false, a);
  EXPECT_EQ(false | a, a);
  EXPECT_EQ(a | true, DONE);
  EXPECT_EQ(true | a, DONE);
}

TEST(SignalAndTest, WithFalseIsNeverAndWithTrueIsTheSignal) {
  const Signal a;
  EXPECT_EQ(a & false, NEVER);
  EXPECT_EQ(false & a, NEVER);
  EXPECT_EQ(a & true, a);
  EXPECT_EQ(true & a, a);
}

template <typename Left, typename Right>
concept CanOr = requires(const Left& left, const Right& right) { left | right; };
template <typename Left, typename Right>
concept CanAnd = requires(const Left& left, const Right& right) { left& right; };

TEST(SignalOrTest, TakesNoNumbersAndNoPointers) {
  static_assert(CanOr<Signal, bool> && CanAnd<Signal, bool>);
  static_assert(!CanOr<Signal, int> && !CanOr<int, Signal> && !CanAnd<Signal, int> && !CanAnd<int, Signal>);
  static_assert(!CanOr<Signal, const char*> && !CanOr<Signal, std::nullptr_t>);
}

TEST(SignalOrTest, WithOneThatHasGoneIsTheConstantDone) {
  const Signal gone;
  gone.go();
  EXPECT_EQ(gone | Signal(), DONE);
  EXPECT_EQ(Signal() | gone, DONE);
  EXPECT_EQ(DONE | NEVER, DONE);
}

TEST(SignalOrTest, WithATillThatHasExpiredStillCountsAsTime) {
  const Signal pending;
  EXPECT_EQ(NEVER.wait(pending | Till(absl::ZeroDuration())).why(), Why::timed_out);
  EXPECT_EQ(NEVER.wait(Till(absl::ZeroDuration()) | pending).why(), Why::timed_out);
  const Signal many[] = {pending, Till(absl::ZeroDuration())};
  EXPECT_EQ(NEVER.wait(Signal::any_of(many)).why(), Why::timed_out);
}

TEST(SignalOrTest, AsALimitSaysWhetherItWentByTimeOrNot) {
  for (const bool by_time : {true, false}) {
    VirtualClock clock;
    ScriptedContext& waiter = ScriptedContext::make("waiter", clock);
    waiter.run([&] {
      const Signal stop;
      const Signal limit = stop | Till(absl::Seconds(1));
      waiter.script({[&] {
        if (by_time) clock.advance(absl::Seconds(1));
        stop.go();
      }});
      EXPECT_EQ(NEVER.wait(limit).why(), by_time ? Why::timed_out : Why::stopped);
    });
  }
}

TEST(SignalAndTest, WithOneThatHasGoneGoesWithTheOther) {
  const Signal a;
  const Signal gone;
  gone.go();
  const Signal left = gone & a;
  const Signal right = a & gone;
  EXPECT_FALSE(left);
  EXPECT_FALSE(right);
  a.go();
  EXPECT_TRUE(left);
  EXPECT_TRUE(right);
  EXPECT_TRUE(gone & DONE);
}

TEST(SignalAndTest, WithNeverNeverGoes) {
  const Signal a;
  const Signal both = a & NEVER;
  a.go();
  EXPECT_FALSE(both);
}

TEST(SignalOrTest, OfASignalAndItselfGoesWithIt) {
  const Signal a;
  const Signal either = a | a;
  const Signal both = a & a;
  int runs = 0;
  either.then([&] { ++runs; });
  both.then([&] { ++runs; });
  a.go();
  EXPECT_TRUE(either);
  EXPECT_TRUE(both);
  EXPECT_EQ(runs, 2);
}

TEST(SignalAnyOfTest, OfNothingIsNever) { EXPECT_EQ(Signal::any_of({}), NEVER); }
TEST(SignalAllOfTest, OfNothingIsDone) { EXPECT_EQ(Signal::all_of({}), DONE); }

TEST(SignalAnyOfTest, GoesWithTheFirstOfMany) {
  for (std::size_t first = 0; first < 20; ++first) {
    const std::vector<Signal> signals(20);
    const Signal any = Signal::any_of(signals);
    EXPECT_FALSE(any);
    signals[first].go();
    EXPECT_TRUE(any);
  }
}

TEST(SignalAllOfTest, GoesWithTheLastOfMany) {
  const std::vector<Signal> signals(20);
  const Signal all = Signal::all_of(signals);
  signals[7].go();
  const Signal all_but_one = Signal::all_of(signals);
  for (std::size_t i = 0; i < signals.size(); ++i) {
    EXPECT_FALSE(all && all_but_one);
    signals[i].go();
  }
  EXPECT_TRUE(all);
  EXPECT_TRUE(all_but_one);
  EXPECT_TRUE(Signal::all_of(signals));
}

TEST(SignalAndTest, OfThreeStoppedSignalsGoesWhenAllThreadsHaveEnded) {
  std::vector<ThreadHandle<void>> threads;
  const std::vector<Signal> ends(3);
  for (const Signal& end : ends) threads.push_back(Thread::run("worker", [end](Signal) { end.wait(); }));
  const Signal all = threads[0].stopped() & threads[1].stopped() & threads[2].stopped();
  EXPECT_FALSE(all);
  for (const Signal& end : ends) end.go();
  all.wait();
  for (auto& thread : threads) EXPECT_TRUE(thread.stopped());
}

TEST(SignalOrTest, ADiamondGoesOnce) {
  const Signal a;
  const Signal b;
  const Signal c;
  const Signal both = (a | b) & (a | c);
  const Signal either = (a & b) | (a & c) | a;
  int runs = 0;
  both.then([&] { ++runs; });
  either.then([&] { ++runs; });
  a.go();
  EXPECT_TRUE(both);
  EXPECT_TRUE(either);
  EXPECT_EQ(runs, 2);
  b.go();
  c.go();
  EXPECT_EQ(runs, 2);
}

TEST(SignalNeverTest, NeverGoes) {
  EXPECT_FALSE(NEVER);
  EXPECT_FALSE(NEVER.go());
  EXPECT_FALSE(NEVER);
  EXPECT_EQ(NEVER.wait(absl::ZeroDuration()).why(), Why::timed_out);
}

// G8: functions given to NEVER, and what was combined with it, piled up.
TEST(SignalNeverTest, AccumulatesNothingG8) {
  const Signal a;
  auto held = std::make_shared<int>(1);
  std::weak_ptr<int> watched = held;
  NEVER.then([held = std::move(held)] { ADD_FAILURE() << "NEVER went"; });
  EXPECT_TRUE(watched.expired());
  const auto before = live_allocations();
  for (int i = 0; i < 1000; ++i) {
    NEVER.then([] {});
    static_cast<void>(NEVER | a);
    static_cast<void>(NEVER & a);
    static_cast<void>(NEVER.wait(absl::ZeroDuration()));
    static_cast<void>(a.wait(NEVER | absl::ZeroDuration()));
  }
  EXPECT_EQ(live_allocations(), before);
}

TEST(SignalNeverTest, AWaitOnItCanBeStopped) {
  const Signal stop;
  ScriptedContext& waiter = ScriptedContext::make("waiter");
  waiter.script({[&] { stop.go(); }, [&] { stop.go(); }});
  waiter.run([&] {
    EXPECT_EQ(NEVER.wait(stop).why(), Why::stopped);
    (NEVER | stop).wait();
  });
}

TEST(SignalDoneTest, HasGone) {
  EXPECT_TRUE(DONE);
  bool ran = false;
  DONE.then([&] { ran = true; });
  EXPECT_TRUE(ran);
  DONE.wait();
}

// --- with threads that are told to stop ----------------------------------------------------------------------------------

// Theirs: test_or_signal_timeout.
TEST(SignalOrTest, WithATillEndsByTimeAndPleaseStopIsStillFalse) {
  VirtualClock clock;
  UseClock use(clock);
  Order order;
  auto worker = Thread::run("worker", [&](Signal please_stop) {
    (Till(absl::Milliseconds(300)) | please_stop).wait();
    EXPECT_FALSE(please_stop);
    order.push_back("worker");
  });
  clock.await_timers(1);
  clock.advance(absl::Milliseconds(300));
  worker.join();
  order.push_back("done");
  EXPECT_THAT(order, ElementsAre("worker", "done"));
}

// Theirs: test_or_signal_stop, and test_or_signal_stop2 with the Till made outside and the stop at once.
TEST(SignalOrTest, WithATillEndsByStop) {
  VirtualClock clock;
  UseClock use(clock);
  for (const bool made_outside : {false, true}) {
    const Signal outside = Till(absl::Milliseconds(300));
    auto worker = Thread::run("worker", [&](Signal please_stop) {
      ((made_outside ? outside : Till(absl::Milliseconds(300))) | please_stop).wait();
      EXPECT_TRUE(please_stop);
      EXPECT_FALSE(outside);
    });
    if (!made_outside) await_sleeping(worker.thread(), "waits for signal");
    worker.stop().join();
  }
}

}  // namespace
}  // namespace mothreads
