// MainThread and the civil time inside a World, which are the world's own.

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cooperative/fiber.h"
#include "cooperative/quit.h"
#include "cooperative/sleep.h"
#include "cooperative/testing/world.h"
#include "cooperative/timer.h"
#include "mothreads/clock.h"
#include "mothreads/drain_hold.h"
#include "mothreads/main_thread.h"
#include "mothreads/queue.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "mothreads/till.h"
#include "mothreads/until.h"
#include "tests/support/watchdog.h"

namespace cooperative::inline v0::testing {
namespace {

using mothreads::Clock;
using mothreads::DrainHold;
using mothreads::MainThread;
using mothreads::Queue;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::Till;
using ::testing::ElementsAre;

constexpr absl::Time kWall = absl::FromUnixSeconds(1'750'000'000);

// --- the main thread -------------------------------------------------------------------------------------------------------------

// Works until it is asked to stop; gives 7.
int service_main(Signal please_stop) {
  please_stop.wait();
  return 7;
}

TEST(WorldMainTest, AStopReachesTheFunctionAndItsThreadsAndGivesItsExitCode) {
  World world;
  bool told = false;
  EXPECT_EQ(world.run([&](Signal please_stop) {
    auto child = Thread::run("child", [&](Signal stop_of_child) {
      stop_of_child.wait();
      told = true;
    });
    auto stopper = Thread::run("stopper", [](Signal) {
      sleep(absl::Seconds(3));
      MainThread::stop();
    });
    EXPECT_FALSE(MainThread::please_stop());
    please_stop.wait();
    EXPECT_TRUE(MainThread::please_stop());
    EXPECT_TRUE(MainThread::draining());
    child.join();
    return 3;
  }), 3);
  EXPECT_TRUE(told);
  EXPECT_EQ(world.elapsed(), absl::Seconds(3));
}

TEST(WorldMainTest, TheProgramOutsideKnowsNothingOfIt) {
  World world;
  world.at(absl::Seconds(1), [] { MainThread::stop(); });
  EXPECT_EQ(world.run(service_main), 7);
  EXPECT_FALSE(MainThread::please_stop());
  EXPECT_FALSE(MainThread::draining());
}

TEST(WorldMainTest, EachRunHasAMainThreadOfItsOwn) {
  World world;
  for (int run = 1; run <= 3; ++run) {
    world.at(absl::Seconds(run), [] { MainThread::stop(); });
    EXPECT_EQ(world.run(service_main), 7);
    EXPECT_EQ(world.elapsed(), absl::Seconds(run));
  }
}

TEST(WorldMainTest, WithoutADrainTheStopFollowsItsAnnouncementAtOnce) {
  World world;
  world.at(absl::Seconds(5), [] { MainThread::drain(); });
  EXPECT_EQ(world.run(service_main), 7);
  EXPECT_EQ(world.elapsed(), absl::Seconds(5));
}

// Announced at 5 s; holds until 5 s + `work`.
absl::Duration end_of_drain(absl::Duration drain, absl::Duration work) {
  World world({.drain = drain});
  world.at(absl::Seconds(5), [] { MainThread::drain(); });
  absl::Duration stopped;
  world.run([&](Signal please_stop) {
    auto job = Thread::run("job", [&](Signal stop_of_job) {
      const DrainHold hold("job");
      MainThread::draining().wait();
      EXPECT_FALSE(please_stop);
      sleep(stop_of_job | work);
    });
    please_stop.wait();
    stopped = world.elapsed();
  });
  return stopped;
}

TEST(WorldMainTest, ADrainEndsWithTheLastHoldOrWithItsTime) {
  EXPECT_EQ(end_of_drain(absl::Seconds(20), absl::Seconds(4)), absl::Seconds(9));
  EXPECT_EQ(end_of_drain(absl::Seconds(20), absl::Seconds(60)), absl::Seconds(25));
  EXPECT_EQ(end_of_drain(absl::InfiniteDuration(), absl::Hours(1)), absl::Seconds(5) + absl::Hours(1));
}

TEST(WorldMainTest, AHoldOfTheProgramHoldsUpNoWorld) {
  const DrainHold outside("outside");
  EXPECT_EQ(end_of_drain(absl::Seconds(20), absl::Seconds(4)), absl::Seconds(9));
}

TEST(WorldMainTest, AStopLetsTheWorldsTillsGoEarlyAndNoOthers) {
  const Till outside(absl::Hours(1));
  World world;
  world.run([] {
    const Till inside(absl::Hours(1));
    MainThread::stop();
    inside.wait();
    EXPECT_TRUE(inside.went_early());
  });
  EXPECT_EQ(world.elapsed(), absl::ZeroDuration());
  EXPECT_FALSE(outside);
}

TEST(WorldMainTest, MainThreadIsTheParentOfWhatOutlivesItsMaker) {
  World world;
  world.run([] {
    EXPECT_EQ(MainThread::thread().name(), "world");
    auto maker = Thread::run("maker", [](Signal) {
      Thread::run({.name = "heir", .parent = MainThread::thread()}, [](Signal please_stop) { please_stop.wait(); }).release();
    });
    maker.join();
    MainThread::stop();
  });
}

TEST(WorldMainTest, QuitIsItsStop) {
  World world;
  world.run([] {
    auto fiber = spawn("quits", [] {
      sleep(absl::Seconds(2));
      quit();
    });
    wait_for_quit();
    fiber.join();
  });
  EXPECT_EQ(world.elapsed(), absl::Seconds(2));
}

// --- at() ------------------------------------------------------------------------------------------------------------------------

TEST(WorldMainTest, AtCallsInTheOrderOfTheTimes) {
  World world;
  std::vector<absl::Duration> times;
  const auto note = [&] { times.push_back(world.elapsed()); };
  world.at(absl::Seconds(4), note);
  world.at(absl::Seconds(2), note);
  world.run([&] {
    world.at(absl::Seconds(3), note);
    sleep(absl::Seconds(10));
  });
  EXPECT_THAT(times, ElementsAre(absl::Seconds(2), absl::Seconds(3), absl::Seconds(4)));
}

TEST(WorldMainTest, AtCallsNothingWhenTheFunctionHasReturned) {
  World world;
  bool was_called = false;
  world.at(absl::Seconds(2), [&] { was_called = true; });
  world.run([] { sleep(absl::Seconds(1)); });
  world.run([] { sleep(absl::Seconds(10)); });
  EXPECT_FALSE(was_called);
  EXPECT_EQ(world.elapsed(), absl::Seconds(11));
}

// --- the civil time --------------------------------------------------------------------------------------------------------------

TEST(WorldMainTest, TheCivilTimeIsVirtual) {
  World world({.wall_time = kWall});
  world.run([&] {
    EXPECT_EQ(Clock::current().wall_now(), kWall);
    Till(kWall + absl::Hours(1)).wait();
    EXPECT_EQ(world.elapsed(), absl::Hours(1));
    sleep_until(kWall + absl::Hours(2));
    EXPECT_EQ(world.elapsed(), absl::Hours(2));
    EXPECT_EQ(Clock::current().wall_now(), kWall + absl::Hours(2));
    EXPECT_FALSE(Signal().wait(absl::ToChronoTime(kWall + absl::Hours(3))));
    EXPECT_EQ(world.elapsed(), absl::Hours(3));
    const Timer timer(kWall + absl::Hours(4), [&] { EXPECT_EQ(world.elapsed(), absl::Hours(4)); });
    sleep(absl::Hours(2));
  });
}

TEST(WorldMainTest, WithoutAChoiceTheCivilTimeIsTheSameInEachRun) {
  World one;
  World other;
  const absl::Time begun = one.run([] { return Clock::current().wall_now(); });
  EXPECT_EQ(begun, other.run([] { return Clock::current().wall_now(); }));
}

}  // namespace
}  // namespace cooperative::testing
