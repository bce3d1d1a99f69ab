#include "cooperative/sleep.h"

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "mothreads/clock.h"
#include "mothreads/ended.h"
#include "mothreads/instant.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "mothreads/until.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Signal;
using mothreads::Thread;
using mothreads::Until;
using mothreads::UseClock;
using mothreads::Why;
using mothreads::testing::on_clock;
using mothreads::testing::VirtualClock;
using ::testing::ElementsAre;

using Names = std::vector<std::string>;

// Second by second, with some rounds for everybody in each.
void pass_time(VirtualClock& clock, int seconds) {
  for (int i = 0; i < seconds; ++i) {
    for (int round = 0; round < 3; ++round) yield();
    clock.advance(absl::Seconds(1));
  }
}

TEST(SleepTest, SleepersWakeInTheOrderOfTheirTimes) {
  VirtualClock clock;
  Names order;
  on_clock(clock, [&] {
    std::vector<Fiber<void>> fibers;
    for (const int seconds : {3, 1, 2, 1}) {
      fibers.push_back(spawn("sleeper", [&order, seconds, n = fibers.size()] {
        sleep(absl::Seconds(seconds));
        order.push_back(std::to_string(seconds) + "s #" + std::to_string(n));
      }));
    }
    yield();
    clock.advance(absl::Seconds(10));
    for (auto& fiber : fibers) fiber.join();
  });
  EXPECT_THAT(order, ElementsAre("1s #1", "1s #3", "2s #2", "3s #0"));
}

TEST(SleepTest, NobodyWakesEarly) {
  VirtualClock clock;
  on_clock(clock, [&] {
    auto sleeper = spawn("sleeper", [] { sleep(absl::Seconds(1)); });
    yield();
    clock.advance(absl::Seconds(1) - absl::Nanoseconds(1));
    yield();
    yield();
    EXPECT_TRUE(sleeper.is_alive());
    clock.advance(absl::Nanoseconds(1));
    sleeper.join();
  });
}

TEST(SleepTest, SignalsComeBeforeTimersInARound) {
  VirtualClock clock;
  Names order;
  on_clock(clock, [&] {
    Event<> event;
    auto sleeper = spawn("sleeper", [&] {
      sleep(absl::Seconds(1));
      order.push_back("timer");
    });
    auto waiter = spawn("waiter", [&] {
      event.wait();
      order.push_back("event");
    });
    yield();
    clock.advance(absl::Seconds(1));
    event.signal();
    sleeper.join();
    waiter.join();
  });
  EXPECT_THAT(order, ElementsAre("event", "timer"));
}

TEST(SleepTest, AllWhoSleepOnAnIdleSchedulerAreWokenByTheClock) {
  VirtualClock clock;
  const UseClock use(clock);
  auto host = Thread::run("host", [](Signal) { spawn("sleeper", [] { sleep(absl::Hours(1)); }).join(); });
  clock.await_timers(1);
  clock.advance(absl::Hours(1));
  host.join();
}

TEST(SleepTest, ASignalIsALimitToo) {
  Signal signal;
  auto sleeper = spawn("sleeper", [&] { sleep(signal | absl::Hours(1)); });
  yield();
  signal.go();
  sleeper.join();
}

TEST(SleepTest, SaysWhatEndedIt) {
  const auto say = [] {
    Signal gone;
    gone.go();
    EXPECT_EQ(sleep(absl::ZeroDuration()), Why::timed_out);
    EXPECT_EQ(sleep(gone), Why::stopped);
    EXPECT_EQ(sleep(gone | absl::Hours(1)), Why::stopped);
    EXPECT_EQ(sleep_until(absl::InfinitePast()), Why::timed_out);
    EXPECT_EQ(yield_until_idle(), Why::ready);
  };
  Thread::run("without fibers", [&](Signal) { say(); }).join();
  VirtualClock clock;
  on_clock(clock, [&] {
    Signal stop;
    auto stopped = spawn("stopped", [&] { EXPECT_EQ(sleep(stop | absl::Seconds(2)), Why::stopped); });
    auto timed = spawn("timed", [&] { EXPECT_EQ(sleep(stop | absl::Seconds(1)), Why::timed_out); });
    say();
    pass_time(clock, 1);
    timed.join();
    stop.go();
    stopped.join();
  });
}

TEST(SleepTest, WithoutFibersItBlocksTheThread) {
  VirtualClock clock;
  const UseClock use(clock);
  auto sleeper = Thread::run("sleeper", [](Signal) { sleep(absl::Minutes(1)); });
  clock.await_timers(1);
  clock.advance(absl::Minutes(1));
  sleeper.join();
}

// A fiber that yields is as ready as any: who sleeps comes back behind it, whatever form has come already.
TEST(SleepTest, ALimitThatHasComeLetsWhoYieldsRunFirst) {
  Signal gone;
  gone.go();
  const mothreads::Instant past = mothreads::Clock::current().now() - std::chrono::seconds(1);
  const std::vector<std::function<void()>> sleeps = {
      [] { sleep(absl::ZeroDuration()); },
      [] { sleep(-absl::Seconds(1)); },
      [] { sleep(-absl::InfiniteDuration()); },
      [=] { sleep(past); },
      [=] { sleep_until(past); },
      [] { sleep(absl::UnixEpoch()); },
      [=] { sleep(gone); },
      [=] { sleep(gone | absl::Hours(1)); },
  };
  for (const auto& sleeps_not : sleeps) {
    std::string order;
    auto other = spawn("other", [&] {
      for (const char turn : {'1', '2', '3'}) {
        order += turn;
        yield();
      }
    });
    for (int i = 0; i < 3; ++i) {
      sleeps_not();
      order += 'r';
    }
    other.join();
    EXPECT_EQ(order, "1r2r3r");
  }
}

// The time comes while the sleeper itself looks for who is next.
TEST(SleepTest, ATimeThatComesAtOnceLetsWhoYieldsRunFirst) {
  int turns = 0;
  bool done = false;
  auto other = spawn("other", [&] {
    while (!done) {
      ++turns;
      yield();
    }
  });
  for (int i = 0; i < 100; ++i) {
    const int before = turns;
    sleep(absl::Nanoseconds(1));
    EXPECT_GT(turns, before);
  }
  done = true;
  other.join();
}

TEST(SleepTest, YieldUntilIdleEndsAtItsLimit) {
  VirtualClock clock;
  on_clock(clock, [&] {
    bool ended = false;
    auto idler = spawn("idler", [&] {
      yield_until_idle(absl::Seconds(1));
      ended = true;
    });
    for (int i = 0; i < 10; ++i) yield();
    EXPECT_FALSE(ended);
    clock.advance(absl::Seconds(1));
    yield();
    yield();
    EXPECT_TRUE(ended);
    idler.join();
  });
}

TEST(SleepTest, AYieldIsAPlaceToBeCancelled) {
  auto spinner = spawn("spinner", [] {
    while (true) yield();
  });
  yield();
  EXPECT_THROW(spinner.cancel().join(), WasCancelled);
}

TEST(SleepTest, FibersMayUseAnotherClockThanTheirScheduler) {
  VirtualClock clock;
  auto sleeper = spawn("sleeper", [&] {
    const UseClock use(clock);
    sleep(absl::Hours(1));
  });
  yield();
  EXPECT_EQ(clock.timers(), 1u);
  clock.advance(absl::Hours(1));
  sleeper.join();
}

TEST(SleepTest, AnExpiredLimitLetsOthersRunOnceAlsoWhenTheyAreMadeReadyBySignals) {
  int rounds = 0;
  bool done = false;
  Event<> nothing, ping, pong;
  auto waiter = spawn("waiter", [&] {
    for (int i = 0; i < 10; ++i) EXPECT_THROW(nothing.wait(absl::ZeroDuration()), Timedout);
    done = true;
  });
  auto a = spawn("a", [&] {
    while (!done) {
      ++rounds;
      pong.signal();
      ping.wait();
    }
    pong.signal();
  });
  auto b = spawn("b", [&] {
    while (!done) {
      pong.wait();
      ping.signal();
    }
    ping.signal();
  });
  waiter.join();
  a.join();
  b.join();
  EXPECT_LE(rounds, 11);
}

// --- several waits, one limit ------------------------------------------------------------------------------------------------

// cothread's AbsTimeout: a function that waits twice within the limit that it was given.
TEST(SeveralWaitsTest, ShareTheLimitThatTheirFunctionWasGiven) {
  VirtualClock clock;
  on_clock(clock, [&] {
    Event<> event;
    const auto twice = [&](const Until& until) {
      const Until limit = until.from_now();
      event.wait(limit);
      event.wait(limit);
    };
    const auto start = clock.now();
    auto signaller = spawn("signaller", [&] {
      sleep(absl::Seconds(40));
      event.signal();
    });
    auto waiter = spawn("waiter", [&] { EXPECT_THROW(twice(absl::Seconds(60)), Timedout); });
    pass_time(clock, 60);
    signaller.join();
    waiter.join();
    EXPECT_EQ(clock.now() - start, std::chrono::seconds(60));
  });
}

// cothread's GetDeadline and Deadline: a point in time can be kept.
TEST(SeveralWaitsTest, ShareADeadlineThatIsKept) {
  VirtualClock clock;
  on_clock(clock, [&] {
    Event<> event;
    const mothreads::Instant deadline = mothreads::Clock::current().now() + std::chrono::seconds(60);
    auto signaller = spawn("signaller", [&] {
      sleep(absl::Seconds(40));
      event.signal();
    });
    auto waiter = spawn("waiter", [&] {
      event.wait(deadline);
      EXPECT_THROW(event.wait(deadline), Timedout);
    });
    pass_time(clock, 60);
    signaller.join();
    waiter.join();
    EXPECT_EQ(clock.now(), deadline);
  });
}

}  // namespace
}  // namespace cooperative
