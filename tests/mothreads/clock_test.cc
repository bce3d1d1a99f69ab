#include "mothreads/clock.h"

#include <gtest/gtest.h>

#include <chrono>
#include <stdexcept>
#include <type_traits>
#include <vector>

#include "mothreads/internal/steady_timers.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "mothreads/till.h"

namespace mothreads::inline v0 {
namespace {

using testing::VirtualClock;

TEST(ClockTest, IsTheSteadyOneByDefault) {
  EXPECT_EQ(&Clock::current(), &Clock::steady());
  EXPECT_TRUE(Clock::steady().is_real());
  EXPECT_EQ(&Clock::steady().timers(internal::kAccess), static_cast<internal::TimerQueue*>(&internal::steady_timers()));
  Thread::run("thread", [](Signal) { EXPECT_EQ(&Clock::current(), &Clock::steady()); }).join();
}

TEST(ClockTest, TheSteadyOneIsTheSystems) {
  const Instant before = std::chrono::steady_clock::now();
  const Instant now = Clock::steady().now();
  const Instant after = std::chrono::steady_clock::now();
  EXPECT_LE(before, now);
  EXPECT_LE(now, after);
}

TEST(ClockTest, CannotBeCopied) {
  static_assert(!std::is_copy_constructible_v<Clock> && !std::is_copy_assignable_v<Clock>);
  static_assert(!std::is_copy_constructible_v<UseClock> && !std::is_move_constructible_v<UseClock>);
}

TEST(UseClockTest, ChangesTheClockForItsScope) {
  VirtualClock outer;
  VirtualClock inner;
  {
    UseClock use_outer(outer);
    EXPECT_EQ(&Clock::current(), &outer);
    {
      UseClock use_inner(inner);
      EXPECT_EQ(&Clock::current(), &inner);
    }
    EXPECT_EQ(&Clock::current(), &outer);
  }
  EXPECT_EQ(&Clock::current(), &Clock::steady());
}

TEST(UseClockTest, AnExceptionEndsItsScopeToo) {
  const auto fail = [] {
    VirtualClock clock;
    UseClock use(clock);
    throw std::runtime_error("on the way");
  };
  EXPECT_THROW(fail(), std::runtime_error);
  EXPECT_EQ(&Clock::current(), &Clock::steady());
}

TEST(UseClockTest, ThreadsInheritItFromTheirMaker) {
  VirtualClock clock;
  std::vector<Clock*> seen;
  {
    UseClock use(clock);
    Thread::run("child", [&](Signal) {
      seen.push_back(&Clock::current());
      Thread::run("grandchild", [&](Signal) { seen.push_back(&Clock::current()); }).join();
    }).join();
  }
  EXPECT_EQ(seen, (std::vector<Clock*>{&clock, &clock}));
}

TEST(UseClockTest, WhatAThreadUsesIsItsOwn) {
  VirtualClock clock;
  Thread::run("child", [&](Signal) {
    UseClock use(clock);
    EXPECT_EQ(&Clock::current(), &clock);
  }).join();
  EXPECT_EQ(&Clock::current(), &Clock::steady());
}

TEST(UseClockTest, ATillStaysOnTheClockItWasMadeOn) {
  VirtualClock first;
  VirtualClock second;
  UseClock use(first);
  const Till till(absl::Seconds(1));
  UseClock use_other(second);
  second.advance(absl::Hours(1));
  EXPECT_FALSE(till);
  first.advance(absl::Seconds(1));
  EXPECT_TRUE(till);
}

}  // namespace
}  // namespace mothreads
