#include "cooperative/foreign_loop.h"

#include <poll.h>

#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "cooperative/testing/world.h"
#include "cooperative/timer.h"
#include "mothreads/clock.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "tests/support/descriptors.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::testing::is_readable;
using mothreads::testing::VirtualClock;
using ::testing::ElementsAre;

// As a loop of somebody else's that has nothing else to do.
void block_in_poll(int descriptor) {
  pollfd watched{descriptor, POLLIN, 0};
  while (::poll(&watched, 1, -1) != 1) {
  }
}

// Each body runs on a thread of its own, on a virtual clock.
class ForeignLoopTest : public ::testing::Test {
 protected:
  template <typename F>
  void on_thread(F&& body) {
    mothreads::testing::on_clock(clock, body);
  }

  VirtualClock clock;
};

TEST_F(ForeignLoopTest, RunsAllThatIsReadyAndNeverSleeps) {
  on_thread([&] {
    ForeignLoop loop;
    Event<> event;
    std::vector<std::string> order;
    auto waiter = spawn("waiter", [&] {
      event.wait();
      order.push_back("waiter");
    });
    auto waker = spawn("waker", [&] {
      for (int i = 0; i < 100; ++i) yield();
      event.signal();
      order.push_back("waker");
    });
    auto sleeper = spawn("sleeper", [] { Signal().wait(); });
    EXPECT_EQ(loop.run_due(), std::nullopt);
    EXPECT_THAT(order, ElementsAre("waker", "waiter"));
    EXPECT_TRUE(sleeper.is_alive());
    EXPECT_FALSE(is_readable(loop.descriptor()));
  });
}

TEST_F(ForeignLoopTest, IsReadableUntilItHasRunForTheFirstTime) {
  on_thread([&] {
    auto early = spawn("early", [] {});
    ForeignLoop loop;
    EXPECT_TRUE(is_readable(loop.descriptor()));
    loop.run_due();
    EXPECT_FALSE(early.is_alive());
    EXPECT_FALSE(is_readable(loop.descriptor()));
  });
}

TEST_F(ForeignLoopTest, ATimeMakesItReadable) {
  on_thread([&] {
    ForeignLoop loop;
    const auto start = clock.now();
    std::vector<int> order;
    auto late = spawn("late", [&] {
      sleep(absl::Seconds(2));
      order.push_back(2);
    });
    auto early = spawn("early", [&] {
      sleep(absl::Seconds(1));
      order.push_back(1);
    });
    EXPECT_EQ(loop.run_due(), start + std::chrono::seconds(1));
    clock.advance(absl::Milliseconds(999));
    EXPECT_FALSE(is_readable(loop.descriptor()));
    clock.advance(absl::Milliseconds(1));
    EXPECT_TRUE(is_readable(loop.descriptor()));
    EXPECT_EQ(loop.run_due(), start + std::chrono::seconds(2));
    EXPECT_THAT(order, ElementsAre(1));
    EXPECT_FALSE(is_readable(loop.descriptor()));
    clock.advance(absl::Seconds(1));
    EXPECT_TRUE(is_readable(loop.descriptor()));
    EXPECT_EQ(loop.run_due(), std::nullopt);
    EXPECT_THAT(order, ElementsAre(1, 2));
  });
  EXPECT_EQ(clock.timers(), 0u);
}

TEST_F(ForeignLoopTest, ATimerTicksWhileTheLoopPolls) {
  on_thread([&] {
    ForeignLoop loop;
    int ticks = 0;
    Timer timer(absl::Seconds(1), [&] { ++ticks; }, {.repeat = TimerRepeat::at_fixed_rate});
    loop.run_due();
    for (int i = 1; i <= 10; ++i) {
      clock.advance(absl::Seconds(1));
      block_in_poll(loop.descriptor());
      loop.run_due();
      EXPECT_EQ(ticks, i);
    }
  });
}

TEST_F(ForeignLoopTest, OnTheRealClockTimeMakesItReadable) {
  Thread::run("host", [](Signal) {
    ForeignLoop loop;
    auto sleeper = spawn("sleeper", [] { sleep(absl::Milliseconds(1)); });
    while (sleeper.is_alive()) {
      if (loop.run_due()) block_in_poll(loop.descriptor());
    }
  }).join();
}

TEST_F(ForeignLoopTest, APostMakesItReadable) {
  on_thread([&] {
    ForeignLoop loop;
    const Scheduler here = Scheduler::current();
    bool ran = false;
    loop.run_due();
    auto poster = Thread::run("poster", [&](Signal) { here.callback([&] { ran = true; }); });
    block_in_poll(loop.descriptor());
    EXPECT_FALSE(ran);
    EXPECT_EQ(loop.run_due(), std::nullopt);
    EXPECT_TRUE(ran);
    EXPECT_FALSE(is_readable(loop.descriptor()));
    auto asker = Thread::run("asker", [&](Signal) { return here.callback_result([] { return 42; }); });
    block_in_poll(loop.descriptor());
    loop.run_due();
    EXPECT_EQ(asker.join(), 42);
  });
}

TEST_F(ForeignLoopTest, ASignalOfAThreadMakesItReadable) {
  on_thread([&] {
    ForeignLoop loop;
    Signal done;
    auto waiter = spawn("waiter", [&] { return static_cast<bool>(done.wait(absl::Hours(1))); });
    EXPECT_EQ(loop.run_due(), clock.now() + std::chrono::hours(1));
    auto thread = Thread::run("thread", [&](Signal) { done.go(); });
    block_in_poll(loop.descriptor());
    loop.run_due();
    EXPECT_FALSE(waiter.is_alive());
    EXPECT_TRUE(waiter.join());
  });
}

TEST_F(ForeignLoopTest, ManyPostsCostOneSystemCallEachTime) {
  on_thread([&] {
    ForeignLoop loop;
    const Scheduler here = Scheduler::current();
    int ran = 0;
    for (int round = 1; round <= 10; ++round) {
      loop.run_due();
      const auto before = here.statistics().wakes;
      std::thread([&] {
        for (int i = 0; i < 100; ++i) here.callback([&] { ++ran; });
      }).join();
      EXPECT_EQ(here.statistics().wakes, before + 1);
      EXPECT_TRUE(is_readable(loop.descriptor()));
      loop.run_due();
      EXPECT_EQ(ran, 100 * round);
    }
  });
}

TEST_F(ForeignLoopTest, NoneOfManyPostsOfManyThreadsIsLost) {
  on_thread([&] {
    ForeignLoop loop;
    const Scheduler here = Scheduler::current();
    constexpr int kThreads = 3;
    constexpr int kEach = 3000;
    std::vector<std::vector<int>> seen(kThreads);
    std::vector<mothreads::ThreadHandle<void>> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.push_back(Thread::run("poster", [&, t](Signal) {
        for (int i = 0; i < kEach; ++i) here.callback([&seen, t, i] { seen[t].push_back(i); });
      }));
    }
    for (int total = 0; total < kThreads * kEach;) {
      block_in_poll(loop.descriptor());
      loop.run_due();
      total = 0;
      for (const auto& each : seen) total += static_cast<int>(each.size());
    }
    for (const auto& each : seen) {
      for (int i = 0; i < kEach; ++i) ASSERT_EQ(each[i], i);
    }
  });
}

TEST_F(ForeignLoopTest, WhatIsLeftByALimitKeepsItReadable) {
  on_thread([&] {
    ForeignLoop loop;
    int turns = 0;
    auto restless = spawn("restless", [&](Signal please_stop) {
      while (!please_stop) {
        ++turns;
        yield();
      }
    });
    for (int i = 0; i < 5; ++i) {
      const int before = turns;
      EXPECT_EQ(loop.run_due(absl::ZeroDuration()), clock.now());
      EXPECT_GT(turns, before);
      EXPECT_TRUE(is_readable(loop.descriptor()));
    }
    restless.stop().join();
    loop.run_due();
    EXPECT_FALSE(is_readable(loop.descriptor()));
  });
}

TEST_F(ForeignLoopTest, FibersThatWaitForIdlenessDoNotKeepIt) {
  on_thread([&] {
    ForeignLoop loop;
    int turns = 0;
    auto idler = spawn("idler", [&](Signal please_stop) {
      while (!please_stop) {
        ++turns;
        yield_until_idle();
      }
    });
    for (int i = 0; i < 3; ++i) EXPECT_EQ(loop.run_due(), clock.now());
    EXPECT_GE(turns, 3);
    EXPECT_TRUE(is_readable(loop.descriptor()));
    idler.stop();
    loop.run_due();
    EXPECT_FALSE(idler.is_alive());
  });
}

TEST_F(ForeignLoopTest, WaitsOfTheLoopsOwnCodeAreWaits) {
  on_thread([&] {
    ForeignLoop loop;
    loop.run_due();
    const Scheduler here = Scheduler::current();
    Signal done;
    auto thread = Thread::run("thread", [&](Signal) { here.callback_result([&] { done.go(); }); });
    done.wait();  // with nobody in poll()
    thread.join();
    EXPECT_EQ(loop.run_due(), std::nullopt);
    EXPECT_FALSE(is_readable(loop.descriptor()));
  });
}

// A function that fibers call runs a loop of its own until it is told to end, as a modal dialog does.
TEST_F(ForeignLoopTest, AnInnerLoopEndsBeforeTheOuterGoesOn) {
  on_thread([&] {
    ForeignLoop loop;
    std::vector<std::string> order;
    int ticks = 0;
    Timer ticker(absl::Seconds(1), [&] { ++ticks; }, {.repeat = TimerRepeat::at_fixed_rate});
    auto dialog = spawn("dialog", [&] {
      order.push_back("inner begins");
      loop.run_due();
      for (int i = 0; i < 5; ++i) {
        clock.advance(absl::Seconds(1));
        block_in_poll(loop.descriptor());
        loop.run_due();
      }
      order.push_back("inner ends");
    });
    loop.run_due();
    order.push_back("outer goes on");
    EXPECT_EQ(ticks, 5);
    dialog.join();
    EXPECT_THAT(order, ElementsAre("inner begins", "inner ends", "outer goes on"));
  });
}

TEST_F(ForeignLoopTest, AnOuterLoopThatIsCancelledLeavesTheInnerOne) {
  on_thread([&] {
    ForeignLoop loop;
    bool inner_went_on = false;
    auto outer = spawn("outer", [&] {
      loop.run_due();
      ADD_FAILURE() << "it was cancelled in there";
    });
    auto inner = spawn("inner", [&] {
      loop.run_due();
      outer.cancel();
      loop.run_due();
      inner_went_on = true;
    });
    EXPECT_THROW(outer.join(), WasCancelled);
    inner.join();
    EXPECT_TRUE(inner_went_on);
    EXPECT_EQ(loop.run_due(), std::nullopt);
  });
}

TEST_F(ForeignLoopTest, AStopOfTheThreadReachesItsFibers) {
  const mothreads::UseClock use(clock);
  Signal polls;
  bool fiber_stopped = false;
  auto host = Thread::run("host", [&](Signal please_stop) {
    ForeignLoop loop;
    auto fiber = spawn("fiber", [&](Signal stop) {
      stop.wait();
      fiber_stopped = true;
    });
    // Not by a fiber that waits for it: the stop may end that one before please_stop goes.
    please_stop.then([here = Scheduler::current()] { here.callback([] {}); });
    loop.run_due();
    polls.go();
    while (!please_stop || fiber.is_alive()) {
      block_in_poll(loop.descriptor());
      loop.run_due();
    }
  });
  polls.wait();
  host.stop().join();
  EXPECT_TRUE(fiber_stopped);
}

TEST_F(ForeignLoopTest, ItsEndIsTheEndOfNothingElse) {
  on_thread([&] {
    auto sleeper = spawn("sleeper", [] { sleep(absl::Seconds(1)); });
    {
      ForeignLoop loop;
      loop.run_due();
    }
    clock.advance(absl::Seconds(1));
    sleeper.join();
    ForeignLoop another;
    EXPECT_EQ(another.run_due(), std::nullopt);
  });
}

TEST_F(ForeignLoopTest, OneThatOutlivesItsSchedulerSaysSo) {
  std::optional<ForeignLoop> loop;
  on_thread([&] {
    loop.emplace();
    loop->run_due();
  });
  EXPECT_THROW(loop->run_due(), Misuse);
  loop.reset();
}

TEST_F(ForeignLoopTest, IsRefusedTwiceElsewhereAndInAWorld) {
  on_thread([&] {
    ForeignLoop loop;
    EXPECT_THROW(static_cast<void>(ForeignLoop()), Misuse);
    std::thread([&] { EXPECT_THROW(loop.run_due(), Misuse); }).join();
    EXPECT_EQ(loop.run_due(), std::nullopt);
  });
  testing::World world;
  world.run([] { EXPECT_THROW(static_cast<void>(ForeignLoop()), Misuse); });
}

}  // namespace
}  // namespace cooperative
