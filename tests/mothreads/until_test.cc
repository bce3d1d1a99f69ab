#include "mothreads/until.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <functional>
#include <optional>
#include <ratio>
#include <string>
#include <type_traits>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "mothreads/clock.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "mothreads/till.h"
#include "tests/support/allocations.h"
#include "tests/support/scripted_context.h"
#include "tests/support/sleeping.h"

namespace mothreads::inline v0 {
namespace {

using testing::allocations_here;
using testing::live_allocations;
using testing::ScriptedContext;
using testing::VirtualClock;

constexpr std::optional<Why> kNotYet = std::nullopt;

// --- what it is made of --------------------------------------------------------------------------------------------------

TEST(UntilTest, IsMadeInPlaceFromEveryKindOfLimit) {
  static_assert(std::is_convertible_v<absl::Duration, Until>);
  static_assert(std::is_convertible_v<std::chrono::nanoseconds, Until>);
  static_assert(std::is_convertible_v<std::chrono::milliseconds, Until>);
  static_assert(std::is_convertible_v<std::chrono::hours, Until>);
  static_assert(std::is_convertible_v<std::chrono::duration<double>, Until>);
  static_assert(std::is_convertible_v<Instant, Until>);
  static_assert(std::is_convertible_v<absl::Time, Until>);
  static_assert(std::is_convertible_v<const Signal&, Until>);
  static_assert(std::is_convertible_v<const Till&, Until>);
  static_assert(std::is_default_constructible_v<Until>);
}

// Theirs: Lock.wait(1) raised at run time, of whatever unit.
TEST(UntilTest, IsNotMadeFromANumberWithoutAUnit) {
  static_assert(!std::is_constructible_v<Until, int>);
  static_assert(!std::is_constructible_v<Until, unsigned>);
  static_assert(!std::is_constructible_v<Until, std::int64_t>);
  static_assert(!std::is_constructible_v<Until, char>);
  static_assert(!std::is_constructible_v<Until, bool>);
  static_assert(!std::is_constructible_v<Until, double>);
  static_assert(!std::is_constructible_v<Until, const char*>);
  static_assert(!std::is_constructible_v<Until, std::nullptr_t>);
}

TEST(UntilTest, IsMadeFromAPointOfEveryClock) {
  static_assert(std::is_convertible_v<std::chrono::steady_clock::time_point, Until>);
  static_assert(std::is_convertible_v<std::chrono::time_point<std::chrono::steady_clock, std::chrono::duration<double>>, Until>);
  static_assert(std::is_convertible_v<std::chrono::time_point<std::chrono::steady_clock, std::chrono::hours>, Until>);
  static_assert(std::is_convertible_v<std::chrono::system_clock::time_point, Until>);
  static_assert(std::is_convertible_v<std::chrono::sys_seconds, Until>);
  static_assert(std::is_convertible_v<std::chrono::file_clock::time_point, Until>);
}

template <typename A, typename B>
concept MakesALimit = requires(A a, B b) {
  { a | b } -> std::same_as<Until>;
};

TEST(UntilTest, IsMadeOfTwoLimitsInBothOrders) {
  const auto both_orders = []<typename A, typename B>(A*, B*) { return MakesALimit<A, B> && MakesALimit<B, A>; };
  const auto with_all = [&]<typename A>(A* a) {
    return both_orders(a, static_cast<absl::Duration*>(nullptr)) && both_orders(a, static_cast<std::chrono::milliseconds*>(nullptr)) &&
           both_orders(a, static_cast<Instant*>(nullptr)) && both_orders(a, static_cast<absl::Time*>(nullptr)) &&
           both_orders(a, static_cast<std::chrono::system_clock::time_point*>(nullptr));
  };
  EXPECT_TRUE(with_all(static_cast<Signal*>(nullptr)));
  EXPECT_TRUE(with_all(static_cast<Till*>(nullptr)));
  EXPECT_TRUE(with_all(static_cast<const Until*>(nullptr)));
  EXPECT_TRUE((MakesALimit<const Until, const Until> && MakesALimit<const Until, Signal> && MakesALimit<Signal, const Until>));
  // Two Signals make a Signal, and two times say no unit of what they are together.
  static_assert(std::same_as<decltype(Signal() | Signal()), Signal>);
  static_assert(std::same_as<decltype(Signal() | Till(absl::Seconds(1))), Signal>);
  static_assert(!MakesALimit<absl::Duration, absl::Duration>);
  static_assert(!MakesALimit<Signal, int> && !MakesALimit<Signal, double> && !MakesALimit<int, Signal>);
}

TEST(UntilTest, CannotBeStored) {
  static_assert(!std::is_copy_constructible_v<Until> && !std::is_move_constructible_v<Until>);
  static_assert(!std::is_copy_assignable_v<Until> && !std::is_move_assignable_v<Until>);
}

// --- whether it has come -------------------------------------------------------------------------------------------------

TEST(UntilTest, WithoutALimitIsNever) {
  const Signal signal;
  EXPECT_TRUE(Until().is_never());
  EXPECT_TRUE(Until(absl::InfiniteDuration()).is_never());
  EXPECT_FALSE(Until(absl::Seconds(1)).is_never());
  EXPECT_FALSE(Until(absl::ZeroDuration()).is_never());
  EXPECT_FALSE(Until(Instant::max()).is_never());
  EXPECT_FALSE(Until(signal).is_never());
  EXPECT_FALSE((signal | absl::InfiniteDuration()).is_never());
  const Until never;
  EXPECT_TRUE((never | absl::InfiniteDuration()).is_never());
  EXPECT_FALSE((never | absl::Seconds(1)).is_never());
}

TEST(UntilTest, SaysWhetherItHasComeAndWhy) {
  VirtualClock clock;
  UseClock use(clock);
  const Signal pending;
  EXPECT_EQ(Until().has_come(), kNotYet);
  EXPECT_EQ(Until(absl::Nanoseconds(1)).has_come(), kNotYet);
  EXPECT_EQ(Until(absl::ZeroDuration()).has_come(), Why::timed_out);
  EXPECT_EQ(Until(-absl::InfiniteDuration()).has_come(), Why::timed_out);
  EXPECT_EQ(Until(std::chrono::seconds(1)).has_come(), kNotYet);
  EXPECT_EQ(Until(std::chrono::seconds(-1)).has_come(), Why::timed_out);
  EXPECT_EQ(Until(clock.now() + std::chrono::nanoseconds(1)).has_come(), kNotYet);
  EXPECT_EQ(Until(clock.now()).has_come(), Why::timed_out);
  EXPECT_EQ(Until(Instant::min()).has_come(), Why::timed_out);
  EXPECT_EQ(Until(absl::Now() + absl::Hours(1)).has_come(), kNotYet);
  EXPECT_EQ(Until(absl::Now() - absl::Hours(1)).has_come(), Why::timed_out);
  EXPECT_EQ(Until(absl::InfiniteFuture()).has_come(), kNotYet);
  EXPECT_EQ(Until(absl::InfinitePast()).has_come(), Why::timed_out);
  EXPECT_EQ(Until(pending).has_come(), kNotYet);
  EXPECT_EQ(Until(DONE).has_come(), Why::stopped);
  EXPECT_EQ(Until(Till(absl::ZeroDuration())).has_come(), Why::timed_out);
}

TEST(UntilTest, OfTwoLimitsEitherCanHaveCome) {
  VirtualClock clock;
  UseClock use(clock);
  const Signal pending;
  EXPECT_EQ((pending | absl::Seconds(1)).has_come(), kNotYet);
  EXPECT_EQ((pending | absl::ZeroDuration()).has_come(), Why::timed_out);
  EXPECT_EQ((DONE | absl::Seconds(1)).has_come(), Why::stopped);
  EXPECT_EQ((pending | clock.now()).has_come(), Why::timed_out);
  EXPECT_EQ((pending | std::chrono::seconds(0)).has_come(), Why::timed_out);
  EXPECT_EQ((DONE | (clock.now() + std::chrono::hours(1))).has_come(), Why::stopped);
  const Until far = absl::Hours(1);
  EXPECT_EQ((far | pending).has_come(), kNotYet);
  EXPECT_EQ((far | DONE).has_come(), Why::stopped);
  EXPECT_EQ((far | absl::ZeroDuration()).has_come(), Why::timed_out);
  EXPECT_EQ((far | std::chrono::seconds(0)).has_come(), Why::timed_out);
  EXPECT_EQ((far | clock.now()).has_come(), Why::timed_out);
  EXPECT_EQ(((far | pending) | DONE).has_come(), Why::stopped);
}

// --- the ends of what chrono can say -------------------------------------------------------------------------------------

template <typename Duration>
void the_largest_is_for_ever_and_the_least_at_once() {
  EXPECT_EQ(Until(Duration::max()).has_come(), kNotYet);
  EXPECT_EQ((Signal() | Duration::max()).has_come(), kNotYet);
  if constexpr (std::is_signed_v<typename Duration::rep>) {
    EXPECT_EQ(Until(Duration::min()).has_come(), Why::timed_out);
  }
}

TEST(UntilRangeTest, TheLargestDurationsDoNotWrap) {
  the_largest_is_for_ever_and_the_least_at_once<std::chrono::nanoseconds>();
  the_largest_is_for_ever_and_the_least_at_once<std::chrono::hours>();
  the_largest_is_for_ever_and_the_least_at_once<std::chrono::years>();
  the_largest_is_for_ever_and_the_least_at_once<std::chrono::duration<std::int8_t>>();
  the_largest_is_for_ever_and_the_least_at_once<std::chrono::duration<std::int64_t, std::exa>>();
  the_largest_is_for_ever_and_the_least_at_once<std::chrono::duration<std::uint8_t>>();
  the_largest_is_for_ever_and_the_least_at_once<std::chrono::duration<std::uint32_t, std::ratio<1, 3>>>();
  the_largest_is_for_ever_and_the_least_at_once<std::chrono::duration<std::uint64_t>>();
  the_largest_is_for_ever_and_the_least_at_once<std::chrono::duration<std::uint64_t, std::nano>>();
  the_largest_is_for_ever_and_the_least_at_once<std::chrono::duration<std::int64_t, std::ratio<1'000'000'007, 1'000'000'009>>>();
  the_largest_is_for_ever_and_the_least_at_once<std::chrono::duration<float>>();
  the_largest_is_for_ever_and_the_least_at_once<std::chrono::duration<double, std::exa>>();
  the_largest_is_for_ever_and_the_least_at_once<std::chrono::duration<long double>>();
  EXPECT_EQ(Until(std::chrono::duration<double>(HUGE_VAL)).has_come(), kNotYet);
  EXPECT_EQ(Until(std::chrono::duration<double>(-HUGE_VAL)).has_come(), Why::timed_out);
}

TEST(UntilRangeTest, TheLargestPointsDoNotWrap) {
  EXPECT_EQ(Until(std::chrono::time_point<std::chrono::steady_clock, std::chrono::hours>::max()).has_come(), kNotYet);
  EXPECT_EQ(Until(std::chrono::time_point<std::chrono::steady_clock, std::chrono::hours>::min()).has_come(), Why::timed_out);
  EXPECT_EQ(Until(std::chrono::system_clock::time_point::max()).has_come(), kNotYet);
  EXPECT_EQ(Until(std::chrono::system_clock::time_point::min()).has_come(), Why::timed_out);
  EXPECT_EQ(Until(std::chrono::sys_time<std::chrono::hours>::max()).has_come(), kNotYet);
  EXPECT_EQ(Until(std::chrono::sys_time<std::chrono::hours>::min()).has_come(), Why::timed_out);
  EXPECT_EQ(Until(std::chrono::file_clock::time_point::max()).has_come(), kNotYet);
  EXPECT_EQ(Until(std::chrono::file_clock::time_point::min()).has_come(), Why::timed_out);
}

TEST(UntilRangeTest, ExactRatiosStayExact) {
  using Ticks = std::chrono::duration<std::int64_t, std::ratio<1'000'000'007, 1'000'000'009>>;
  EXPECT_EQ(Until(Ticks(1'000'000'009)).only_duration(), absl::Seconds(1'000'000'007));
  EXPECT_EQ(Until(std::chrono::duration<std::int64_t, std::nano>(-1)).only_duration(), absl::Nanoseconds(-1));
  EXPECT_EQ(Until(std::chrono::duration<std::int64_t, std::ratio<1, 3>>(-4)).only_duration(), absl::Seconds(-1) - absl::Seconds(1) / 3);
  EXPECT_EQ(Until(std::chrono::duration<std::uint64_t, std::nano>(UINT64_MAX)).only_duration(),
            absl::Seconds(18'446'744'073) + absl::Nanoseconds(709'551'615));
}

TEST(UntilRangeTest, NaNIsMisuse) {
  EXPECT_THROW(static_cast<void>(Until(std::chrono::duration<double>(std::nan("")))), Misuse);
  EXPECT_THROW(static_cast<void>(Until(std::chrono::duration<float, std::milli>(std::nanf("")))), Misuse);
  EXPECT_THROW(static_cast<void>(Signal() | std::chrono::duration<long double>(std::nanl(""))), Misuse);
  EXPECT_THROW(static_cast<void>(Till{std::chrono::duration<double>(std::nan(""))}), Misuse);
}

// --- as the limit of a wait ----------------------------------------------------------------------------------------------

// Waits for NEVER with the limit that `make` makes, while the clock goes from timer to timer, and says how long that took.
struct Waited {
  Why why;
  std::chrono::nanoseconds lasted;
  friend bool operator==(const Waited&, const Waited&) = default;
};

void PrintTo(const Waited& waited, std::ostream* out) { *out << waited.why << " after " << waited.lasted.count() << " ns"; }

Waited wait_on(VirtualClock& clock, const std::function<Why()>& wait) {
  ScriptedContext& waiter = ScriptedContext::make("waiter", clock);
  waiter.script({[&] { EXPECT_TRUE(clock.advance_to_next()) << "no time limit"; }});
  const Instant start = clock.now();
  Why why = Why::ready;
  waiter.run([&] { why = wait(); });
  EXPECT_EQ(clock.timers(), 0U);
  return {why, clock.now() - start};
}

constexpr auto kSecond = std::chrono::nanoseconds(1'000'000'000);

TEST(UntilWaitTest, EveryKindOfTimeEndsAWaitExactlyThen) {
  VirtualClock clock;
  const Waited a_second{Why::timed_out, kSecond};
  EXPECT_EQ(wait_on(clock, [] { return NEVER.wait(absl::Seconds(1)).why(); }), a_second);
  EXPECT_EQ(wait_on(clock, [] { return NEVER.wait(std::chrono::seconds(1)).why(); }), a_second);
  EXPECT_EQ(wait_on(clock, [] { return NEVER.wait(std::chrono::duration<double>(1)).why(); }), a_second);
  EXPECT_EQ(wait_on(clock, [&] { return NEVER.wait(clock.now() + kSecond).why(); }), a_second);
  EXPECT_EQ(wait_on(clock, [] { return NEVER.wait(Till(absl::Seconds(1))).why(); }), a_second);
  EXPECT_EQ(wait_on(clock, [] { return NEVER.wait(absl::Nanoseconds(1)).why(); }),
            (Waited{Why::timed_out, std::chrono::nanoseconds(1)}));
}

TEST(UntilWaitTest, EveryDurationOfChronoWillDo) {
  VirtualClock clock;
  const Waited a_second{Why::timed_out, kSecond};
  const Signal stop;
  EXPECT_EQ(wait_on(clock, [] { return NEVER.wait(std::chrono::duration<float>(1)).why(); }), a_second);
  EXPECT_EQ(wait_on(clock, [] { return NEVER.wait(std::chrono::duration<double, std::milli>(1000)).why(); }), a_second);
  EXPECT_EQ(wait_on(clock, [] { return NEVER.wait(std::chrono::duration<int, std::milli>(1000)).why(); }), a_second);
  EXPECT_EQ(wait_on(clock, [] { return NEVER.wait(std::chrono::duration<int, std::ratio<1, 3>>(3)).why(); }), a_second);
  EXPECT_EQ(wait_on(clock, [&] { return NEVER.wait(stop | std::chrono::duration<double>(1)).why(); }), a_second);
  EXPECT_EQ(wait_on(clock, [] { return NEVER.wait(std::chrono::days(1)).why(); }), (Waited{Why::timed_out, std::chrono::days(1)}));
}

TEST(UntilWaitTest, EveryPointOfAClockWillDo) {
  VirtualClock clock;
  const Waited a_second{Why::timed_out, kSecond};
  using Seconds = std::chrono::duration<double>;
  EXPECT_EQ(wait_on(clock, [&] { return NEVER.wait(std::chrono::time_point_cast<std::chrono::microseconds>(clock.now()) + kSecond).why(); }).why,
            Why::timed_out);
  EXPECT_NEAR(static_cast<double>(wait_on(clock, [&] { return NEVER.wait(clock.now() + Seconds(1)).why(); }).lasted.count()), 1e9, 1e3);
  const Waited by_wall = wait_on(clock, [] { return NEVER.wait(std::chrono::system_clock::now() + std::chrono::hours(1)).why(); });
  EXPECT_EQ(by_wall.why, Why::timed_out);
  EXPECT_GT(by_wall.lasted, std::chrono::minutes(59));
  EXPECT_LE(by_wall.lasted, std::chrono::hours(1));
  EXPECT_EQ(wait_on(clock, [] { return NEVER.wait(absl::Seconds(1) | Signal()).why(); }), a_second);
}

// A wall-clock time is a point: the second wait with it does not begin anew.
TEST(UntilWaitTest, AWallClockTimeIsTheSamePointForEveryWait) {
  VirtualClock clock;
  ScriptedContext& maker = ScriptedContext::make("maker", clock);
  maker.run([&] {
    const Until limit = absl::Now() + absl::Hours(1);
    clock.advance(absl::Hours(2));
    EXPECT_EQ(NEVER.wait(limit).why(), Why::timed_out);
  });
}

TEST(UntilWaitTest, AWallClockTimeIsConvertedAtTheCall) {
  VirtualClock clock;
  const Waited waited = wait_on(clock, [] { return NEVER.wait(absl::Now() + absl::Hours(1)).why(); });
  EXPECT_EQ(waited.why, Why::timed_out);
  EXPECT_LE(waited.lasted, std::chrono::hours(1));
  EXPECT_GT(waited.lasted, std::chrono::minutes(59));
}

TEST(UntilWaitTest, TheEarliestOfSeveralTimesCounts) {
  VirtualClock clock;
  const Signal pending;
  const Waited a_second{Why::timed_out, kSecond};
  EXPECT_EQ(wait_on(clock, [&] { return NEVER.wait(pending | absl::Seconds(1) | absl::Seconds(2)).why(); }), a_second);
  EXPECT_EQ(wait_on(clock, [&] { return NEVER.wait(pending | absl::Seconds(2) | absl::Seconds(1)).why(); }), a_second);
  EXPECT_EQ(wait_on(clock, [&] { return NEVER.wait(pending | absl::Hours(1) | (clock.now() + kSecond)).why(); }), a_second);
  EXPECT_EQ(wait_on(clock, [&] { return NEVER.wait(pending | (clock.now() + kSecond) | std::chrono::hours(1)).why(); }), a_second);
  EXPECT_EQ(wait_on(clock, [&] { return NEVER.wait(pending | Till(absl::Seconds(1)) | absl::InfiniteDuration()).why(); }),
            a_second);
}

TEST(UntilWaitTest, AnyOfSeveralSignalsEndsAWait) {
  for (int which = 0; which < 3; ++which) {
    VirtualClock clock;
    const std::vector<Signal> signals(3);
    ScriptedContext& waiter = ScriptedContext::make("waiter", clock);
    waiter.script({[&] { signals[static_cast<std::size_t>(which)].go(); }});
    waiter.run([&] {
      const Until first = signals[0] | absl::Seconds(1);
      const Until second = first | signals[1];
      EXPECT_EQ(NEVER.wait(second | signals[2]).why(), Why::stopped);
    });
    EXPECT_EQ(clock.timers(), 0U);
    // Nothing hangs on the others any more.
    for (const Signal& signal : signals) signal.go();
  }
}

TEST(UntilWaitTest, ALimitWithATillAndAStopSaysWhichCame) {
  for (const bool by_time : {true, false}) {
    VirtualClock clock;
    const Signal stop;
    ScriptedContext& waiter = ScriptedContext::make("waiter", clock);
    waiter.script({[&] {
      if (by_time) clock.advance(absl::Seconds(1));
      stop.go();
    }});
    waiter.run([&] {
      const Till till(absl::Seconds(1));
      const Until limit = stop;
      EXPECT_EQ(NEVER.wait(limit | till).why(), by_time ? Why::timed_out : Why::stopped);
    });
  }
}

TEST(UntilWaitTest, AVeryLongTimeIsForEver) {
  VirtualClock clock;
  ScriptedContext& waiter = ScriptedContext::make("waiter", clock);
  const Signal stop;
  for (const absl::Duration longest : {absl::InfiniteDuration(), absl::Hours(24 * 366 * 1000LL), absl::Seconds(INT64_MAX)}) {
    const Signal signal;
    waiter.script({[&] {
      EXPECT_EQ(clock.timers(), 0U);
      signal.go();
    }});
    waiter.run([&] { EXPECT_EQ(signal.wait(stop | longest).why(), Why::ready); });
  }
}

TEST(UntilWaitTest, ADurationCountsFromEachCallAnInstantDoesNot) {
  VirtualClock clock;
  const Waited a_second{Why::timed_out, kSecond};
  const Waited at_once{Why::timed_out, std::chrono::nanoseconds(0)};
  const Until duration = absl::Seconds(1);
  EXPECT_EQ(wait_on(clock, [&] { return NEVER.wait(duration).why(); }), a_second);
  EXPECT_EQ(wait_on(clock, [&] { return NEVER.wait(duration).why(); }), a_second);
  const Until instant = clock.now() + kSecond;
  EXPECT_EQ(wait_on(clock, [&] { return NEVER.wait(instant).why(); }), a_second);
  EXPECT_EQ(wait_on(clock, [&] { return NEVER.wait(instant).why(); }), at_once);
}

TEST(UntilFromNowTest, FixesDurationsAndKeepsTheRest) {
  VirtualClock clock;
  UseClock use(clock);
  const Signal stop;
  const Until duration = stop | absl::Seconds(3);
  const Until fixed = duration.from_now();
  EXPECT_EQ(fixed.has_come(), kNotYet);
  clock.advance(absl::Seconds(2));
  const Waited waited = wait_on(clock, [&] { return NEVER.wait(fixed).why(); });
  EXPECT_EQ(waited, (Waited{Why::timed_out, kSecond}));
  EXPECT_EQ(fixed.has_come(), Why::timed_out);
  EXPECT_EQ(duration.has_come(), kNotYet);
  // Fixing it again moves nothing.
  EXPECT_EQ(fixed.from_now().has_come(), Why::timed_out);
  const Until fixed_later = duration.from_now();
  stop.go();
  EXPECT_EQ(fixed_later.has_come(), Why::stopped);
  const Until never;
  EXPECT_TRUE(never.from_now().is_never());
}

TEST(UntilFromNowTest, WhatIsAddedAfterwardsStillCounts) {
  VirtualClock clock;
  UseClock use(clock);
  const Until hour = absl::Hours(1);
  const Until fixed = hour.from_now();
  const Waited waited = wait_on(clock, [&] { return NEVER.wait(fixed | absl::Seconds(1)).why(); });
  EXPECT_EQ(waited, (Waited{Why::timed_out, kSecond}));
}

// --- one limit, several waits --------------------------------------------------------------------------------------------

// The limit of three threads' waits at a time: all end, each for the reason that came.
void serves_three_waits(const std::function<void(const Signal& stop, const std::function<void(const Until&)>& use)>& with_limit) {
  for (const Why why : {Why::stopped, Why::timed_out}) {
    VirtualClock clock;
    UseClock use(clock);
    const Signal stop;
    with_limit(stop, [&](const Until& limit) {
      std::vector<ThreadHandle<Why>> waiters;
      for (int i = 0; i < 3; ++i) waiters.push_back(Thread::run("waiter", [&](Signal) { return NEVER.wait(limit).why(); }));
      for (const auto& waiter : waiters) testing::await_sleeping(waiter.thread(), "NEVER");
      why == Why::stopped ? static_cast<void>(stop.go()) : clock.advance(absl::Seconds(1));
      for (auto& waiter : waiters) EXPECT_EQ(waiter.join(), why);
    });
  }
}

TEST(UntilSharedTest, OneLimitServesSeveralWaitsAtATime) {
  serves_three_waits([](const Signal& stop, const auto& use) { use(stop | absl::Seconds(1)); });
  serves_three_waits([](const Signal& stop, const auto& use) { use(stop | Till(absl::Seconds(1)) | absl::Hours(1)); });
  serves_three_waits([](const Signal& stop, const auto& use) { use((stop | absl::Seconds(1)).from_now()); });
  serves_three_waits([](const Signal& stop, const auto& use) { use(Signal() | (Signal() | (absl::Seconds(1) | stop))); });
  serves_three_waits([](const Signal& stop, const auto& use) {
    const Till till(absl::Seconds(1));
    use(stop | till);  // a Signal of two
  });
}

TEST(UntilSharedTest, ALimitOwnsTemporaries) {
  VirtualClock clock;
  UseClock use(clock);
  const auto live_before = live_allocations();
  {
    const Signal held;
    std::optional<Signal> dropped(std::in_place);
    const auto temporary = [&] { return *dropped; };
    const auto limit = temporary() | absl::Seconds(5);
    const auto longer = absl::Hours(1) | (temporary() | held);  // a combination
    const auto whole = limit | Till(absl::Hours(2)) | longer.from_now();
    dropped.reset();
    EXPECT_EQ(limit.has_come(), kNotYet);
    EXPECT_EQ(whole.has_come(), kNotYet);
    held.go();
    EXPECT_EQ(longer.has_come(), Why::stopped);
    EXPECT_EQ(whole.has_come(), Why::stopped);
    EXPECT_EQ(limit.has_come(), kNotYet);
  }
  EXPECT_EQ(live_allocations(), live_before);
}

TEST(UntilSharedTest, MoreSignalsThanHaveRoomEndAWaitToo) {
  VirtualClock clock;
  for (std::size_t which = 0; which < 5; ++which) {
    const std::vector<Signal> signals(5);
    ScriptedContext& waiter = ScriptedContext::make("waiter", clock);
    waiter.script({[&] { signals[which].go(); }});
    waiter.run([&] {
      const Until limit = absl::Seconds(1) | signals[0] | signals[1] | signals[2] | signals[3] | signals[4];
      EXPECT_EQ(NEVER.wait(limit).why(), Why::stopped);
    });
    for (const Signal& signal : signals) signal.go();
  }
}

// Waits with every form of limit, one after the other, allocate nothing and leave nothing on what they borrowed.
TEST(UntilWaitTest, AllocatesNothingAndLeavesNothing) {
  VirtualClock clock;
  const Signal a;
  const Signal b;
  ScriptedContext& waiter = ScriptedContext::make("waiter", clock);
  const auto pass_time = [&] { clock.advance_to_next(); };
  waiter.script({pass_time, pass_time, pass_time, pass_time});
  const auto live_before = live_allocations();
  std::uint64_t allocated = 0;
  waiter.run([&] {
    const auto before = allocations_here();
    static_cast<void>(a.wait(absl::Seconds(5)));
    static_cast<void>(a.wait(b | absl::Seconds(5)));
    static_cast<void>(a.wait(b | (clock.now() + kSecond)));
    const Until both = b | absl::Seconds(5);
    static_cast<void>(NEVER.wait(both | a | std::chrono::seconds(5)));
    allocated = allocations_here() - before;
  });
  EXPECT_EQ(waiter.sleeps(), 4);
  // A script's own steps are functions, whose destruction frees.
  EXPECT_EQ(allocated, 0U);
  EXPECT_LE(live_allocations(), live_before);
}

}  // namespace
}  // namespace mothreads
