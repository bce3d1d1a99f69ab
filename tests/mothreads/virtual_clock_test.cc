#include "mothreads/testing/virtual_clock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "mothreads/clock.h"
#include "mothreads/misuse.h"
#include "mothreads/queue.h"
#include "mothreads/thread.h"
#include "mothreads/till.h"
#include "mothreads/until.h"
#include "tests/support/sleeping.h"

namespace mothreads::inline v0 {
namespace {

using testing::VirtualClock;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

TEST(VirtualClockTest, TimePassesOnlyWhenItIsMoved) {
  VirtualClock clock;
  EXPECT_FALSE(clock.is_real());
  const Instant start = clock.now();
  EXPECT_NE(start, Instant{});
  EXPECT_EQ(clock.now(), start);
  clock.advance(absl::Seconds(3));
  EXPECT_EQ(clock.now() - start, std::chrono::seconds(3));
  clock.advance(absl::ZeroDuration());
  EXPECT_EQ(clock.now() - start, std::chrono::seconds(3));
}

TEST(VirtualClockTest, FiresEachTimerAtItsOwnTimeInOrder) {
  VirtualClock clock;
  UseClock use(clock);
  const Instant start = clock.now();
  std::vector<std::pair<std::string, int>> fired;
  const auto note = [&](const char* name) {
    return [&, name] { fired.emplace_back(name, static_cast<int>((clock.now() - start) / std::chrono::seconds(1))); };
  };
  Till(absl::Seconds(5)).then(note("late"));
  Till(absl::Seconds(1)).then(note("early"));
  Till(absl::Seconds(1)).then(note("early too"));
  Till(absl::Seconds(9)).then(note("too late"));
  clock.advance(absl::Seconds(7));
  EXPECT_THAT(fired, ElementsAre(Pair("early", 1), Pair("early too", 1), Pair("late", 5)));
  EXPECT_EQ(clock.now() - start, std::chrono::seconds(7));
  EXPECT_EQ(clock.timers(), 1U);
  clock.advance(absl::Seconds(2));
  EXPECT_EQ(clock.timers(), 0U);
}

TEST(VirtualClockTest, FiresWhatAFunctionAddsOnTheWay) {
  VirtualClock clock;
  UseClock use(clock);
  int ticks = 0;
  std::function<void()> tick = [&] {
    if (++ticks < 100) Till(absl::Seconds(1)).then(tick);
  };
  Till(absl::Seconds(1)).then(tick);
  clock.advance(absl::Seconds(50));
  EXPECT_EQ(ticks, 50);
  clock.advance(absl::Seconds(1000));
  EXPECT_EQ(ticks, 100);
}

TEST(VirtualClockTest, AdvanceToNextGoesToTheFirstTimerAndFiresAllOfThatTime) {
  VirtualClock clock;
  UseClock use(clock);
  const Instant start = clock.now();
  const Till first(absl::Seconds(2));
  const Till same(absl::Seconds(2));
  const Till later(absl::Seconds(3));
  EXPECT_TRUE(clock.advance_to_next());
  EXPECT_EQ(clock.now() - start, std::chrono::seconds(2));
  EXPECT_TRUE(first && same);
  EXPECT_FALSE(later);
  EXPECT_TRUE(clock.advance_to_next());
  EXPECT_TRUE(later);
  EXPECT_FALSE(clock.advance_to_next());
  EXPECT_EQ(clock.now() - start, std::chrono::seconds(3));
}

TEST(VirtualClockTest, TimeDoesNotGoBack) {
  VirtualClock clock;
  const Instant start = clock.now();
  try {
    clock.advance(-absl::Nanoseconds(1));
    FAIL() << "it went back";
  } catch (const Misuse& misuse) {
    EXPECT_THAT(misuse.what(), HasSubstr("time does not go back"));
  }
  EXPECT_EQ(clock.now(), start);
}

TEST(VirtualClockTest, AnEndlessAdvanceFiresAllAndStopsAtTheEndOfTime) {
  VirtualClock clock;
  UseClock use(clock);
  const Till century(absl::Hours(24 * 365 * 100));
  clock.advance(absl::InfiniteDuration());
  EXPECT_TRUE(century);
  const Instant end = clock.now();
  clock.advance(absl::InfiniteDuration());
  EXPECT_EQ(clock.now(), end);
}

TEST(VirtualClockTest, CountsWaitsAndTills) {
  VirtualClock clock;
  UseClock use(clock);
  EXPECT_EQ(clock.timers(), 0U);
  const Till till(absl::Seconds(1));
  EXPECT_EQ(clock.timers(), 1U);
  const Signal stop;
  auto sleeper = Thread::run("sleeper", [&](Signal) { return NEVER.wait(stop | absl::Hours(1)).why(); });
  clock.await_timers(2);
  EXPECT_EQ(clock.timers(), 2U);
  stop.go();
  EXPECT_EQ(sleeper.join(), Why::stopped);
  EXPECT_EQ(clock.timers(), 1U);
}

TEST(VirtualClockTest, AWaitWithoutATimeLimitIsNoTimer) {
  VirtualClock clock;
  UseClock use(clock);
  const Signal signal;
  auto waiter = Thread::run("waiter", [&](Signal) { signal.wait(); });
  testing::await_sleeping(waiter.thread(), "waits for signal");
  EXPECT_EQ(clock.timers(), 0U);
  signal.go();
}

TEST(VirtualClockTest, AwaitTimersMeetsSeveralThreads) {
  VirtualClock clock;
  UseClock use(clock);
  std::vector<ThreadHandle<Why>> sleepers;
  for (int i = 0; i < 8; ++i) {
    sleepers.push_back(Thread::run("sleeper", [](Signal) {
      static_cast<void>(NEVER.wait(absl::Seconds(1)));
      return NEVER.wait(absl::Seconds(1)).why();
    }));
  }
  for (int round = 0; round < 2; ++round) {
    clock.await_timers(8);
    EXPECT_EQ(clock.timers(), 8U);
    clock.advance(absl::Seconds(1));
  }
  for (auto& sleeper : sleepers) EXPECT_EQ(sleeper.join(), Why::timed_out);
  EXPECT_EQ(clock.timers(), 0U);
}

TEST(VirtualClockTest, SeveralMayAwaitTimersAtOnce) {
  VirtualClock clock;
  std::vector<ThreadHandle<void>> watchers;
  for (std::size_t i = 1; i <= 3; ++i) watchers.push_back(Thread::run("watcher", [&, i](Signal) { clock.await_timers(i); }));
  UseClock use(clock);
  std::vector<Till> tills;
  for (int i = 0; i < 3; ++i) tills.emplace_back(absl::Seconds(1));
  join_all(watchers);
}

TEST(VirtualClockTest, AwaitTimersReturnsAtOnceWhenThereAreEnough) {
  VirtualClock clock;
  clock.await_timers(0);
  UseClock use(clock);
  const Till till(absl::Seconds(1));
  clock.await_timers(1);
}

TEST(VirtualClockTest, TheExampleOfItsHeader) {
  VirtualClock clock;
  UseClock use(clock);
  auto t = Thread::run("sleeper", [](Signal) { Till(absl::Hours(1)).wait(); });
  clock.await_timers(1);
  clock.advance(absl::Hours(1));
  t.join();
}

TEST(VirtualClockDeathTest, DestroyingItWithPendingTimersIsFatal) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        std::optional<VirtualClock> clock;
        clock.emplace();
        UseClock use(*clock);
        const Till till(absl::Seconds(1));
        clock.reset();
      },
      "VirtualClock was destroyed while timers are pending");
}

TEST(VirtualClockTest, ItsCivilTimePassesWithTheRest) {
  const absl::Time begun = absl::FromUnixSeconds(1'750'000'000);
  VirtualClock clock(begun);
  const UseClock use(clock);
  EXPECT_EQ(Clock::current().wall_now(), begun);
  const Till till(begun + absl::Hours(1));
  const Until limit = begun + absl::Hours(2);
  const Until of_the_systems_clock = absl::ToChronoTime(begun + absl::Hours(3));
  clock.advance(absl::Hours(1) - absl::Nanoseconds(1));
  EXPECT_FALSE(till);
  clock.advance(absl::Nanoseconds(1));
  EXPECT_TRUE(till);
  EXPECT_EQ(clock.wall_now(), begun + absl::Hours(1));
  EXPECT_FALSE(limit.has_come());
  clock.advance(absl::Hours(1));
  EXPECT_TRUE(limit.has_come());
  EXPECT_FALSE(of_the_systems_clock.has_come());
  clock.advance(absl::Hours(1));
  EXPECT_TRUE(of_the_systems_clock.has_come());
}

TEST(VirtualClockTest, WithoutACivilTimeOfItsOwnItHasTheSystems) {
  const absl::Time before = absl::Now();
  const VirtualClock clock;
  const absl::Time now = clock.wall_now();
  EXPECT_LE(before, now);
  EXPECT_LE(now, absl::Now());
}

}  // namespace
}  // namespace mothreads
