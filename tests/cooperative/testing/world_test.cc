#include "cooperative/testing/world.h"

#include <memory>
#include <stdexcept>
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
#include "mothreads/clock.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "mothreads/thread_group.h"
#include "mothreads/till.h"

namespace cooperative::inline v0::testing {
namespace {

using mothreads::Clock;
using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::Till;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// --- run -----------------------------------------------------------------------------------------------------------------------

TEST(WorldTest, GivesWhatTheFunctionGives) {
  World world({.seed = 42});
  EXPECT_EQ(world.seed(), 42u);
  EXPECT_EQ(world.run([] { return 7; }), 7);
  auto moved = world.run([] { return std::make_unique<int>(8); });
  EXPECT_EQ(*moved, 8);
  bool ran = false;
  world.run([&](Signal please_stop) { ran = !please_stop; });
  EXPECT_TRUE(ran);
}

TEST(WorldTest, ThrowsWhatTheFunctionThrowsAndNamesTheSeed) {
  World world({.seed = 42});
  ::testing::internal::CaptureStderr();
  EXPECT_THROW(world.run([] { throw std::out_of_range("row 7"); }), std::out_of_range);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("World seed 42"));
}

TEST(WorldTest, LeavesTheCallerAsItWas) {
  Clock& clock = Clock::current();
  const std::string name(current_name());
  const Scheduler here = Scheduler::current();
  World world;
  world.run([&] {
    EXPECT_FALSE(here.is_current());
    EXPECT_NE(&Clock::current(), &clock);
    EXPECT_EQ(current_name(), "main");
  });
  EXPECT_TRUE(here.is_current());
  EXPECT_EQ(&Clock::current(), &clock);
  EXPECT_EQ(current_name(), name);
  EXPECT_EQ(spawn("after", [] { return 3; }).join(), 3);
}

TEST(WorldTest, RunsInsideAFiberToo) {
  auto fiber = spawn("fiber", [] {
    World world;
    return world.run([] {
      sleep(absl::Hours(1));
      return spawn("inner", [] { return 5; }).join();
    });
  });
  EXPECT_EQ(fiber.join(), 5);
}

TEST(WorldTest, ACancelledCallerLeavesWhenAllHaveStopped) {
  bool told = false;
  auto fiber = spawn("fiber", [&] {
    {
      const NoCancel whole;
      yield();
    }
    World world;
    world.run([&](Signal please_stop) {
      sleep(please_stop | absl::Hours(1));
      told = static_cast<bool>(please_stop);
    });
    ADD_FAILURE() << "it was cancelled";
  });
  yield();
  fiber.cancel();
  EXPECT_THROW(fiber.join(), WasCancelled);
  EXPECT_TRUE(told);
}

TEST(WorldTest, TheCallersExceptionsStayItsOwn) {
  World world;
  try {
    throw std::runtime_error("outer");
  } catch (...) {
    world.run([] {
      EXPECT_EQ(std::current_exception(), nullptr);
      try {
        throw std::logic_error("inner");
      } catch (...) {
        sleep(absl::Seconds(1));
        EXPECT_THROW(throw, std::logic_error);
      }
    });
    EXPECT_THROW(throw, std::runtime_error);
  }
}

// --- threads ---------------------------------------------------------------------------------------------------------------------

TEST(WorldTest, ThreadsAreThreadsButForTheSystem) {
  const auto os_thread = std::this_thread::get_id();
  World world;
  world.run([&] {
    EXPECT_EQ(Thread::current().name(), "main");
    auto worker = Thread::run("worker", [&](Signal please_stop) {
      EXPECT_EQ(std::this_thread::get_id(), os_thread);
      EXPECT_EQ(Thread::current().name(), "worker");
      EXPECT_EQ(Thread::current().parent()->name(), "main");
      please_stop.wait();
      return 11;
    });
    EXPECT_EQ(worker.stop().join(), 11);
    auto failing = Thread::run("failing", [](Signal) -> int { throw std::out_of_range("no such row"); });
    EXPECT_THROW(failing.join(), std::out_of_range);
  });
}

TEST(WorldTest, AHandleStopsAndAwaitsItsThread) {
  World world;
  world.run([] {
    bool stopped = false;
    {
      auto worker = Thread::run("worker", [&](Signal please_stop) {
        please_stop.wait();
        sleep(absl::Seconds(1));
        stopped = true;
      });
    }
    EXPECT_TRUE(stopped);
  });
}

TEST(WorldTest, ReleasedThreadsAndGroupsEndWithTheWorld) {
  int ended = 0;
  World world;
  world.run([&] {
    const auto until_told = [&](Signal please_stop) {
      please_stop.wait();
      ++ended;
    };
    Thread::run("released", until_told).release();
    Thread::run("released at its end", [&](Signal) { ++ended; }).release();
    mothreads::ThreadGroup group("group");
    for (int i = 0; i < 3; ++i) group.run("member", until_told);
    sleep(absl::Seconds(1));
  });
  EXPECT_EQ(ended, 5);
}

TEST(WorldTest, EachThreadHasItsOwnScheduler) {
  World world;
  world.run([] {
    Event<> mine;
    const Scheduler here = Scheduler::current();
    auto fiber = spawn("fiber", [] { sleep(absl::Seconds(1)); });
    Thread::run("other", [&](Signal) {
      EXPECT_FALSE(here.is_current());
      EXPECT_THROW(mine.signal(), Misuse);
      EXPECT_THROW(fiber.join(), Misuse);
      EXPECT_EQ(here.callback_result([&] { return here.is_current(); }), true);
      here.callback([&] { mine.signal(); });
    }).join();
    mine.wait();
  });
}

TEST(WorldTest, AThreadEndsWithItsFibers) {
  World world;
  world.run([] {
    bool cancelled = false;
    Signal started;
    Thread::run("worker", [&](Signal) {
      spawn("fiber", [&] {
        started.go();
        struct AtEnd {
          bool& cancelled;
          ~AtEnd() { cancelled = true; }
        } at_end{cancelled};
        sleep(absl::Hours(1));
      }).release();
      started.wait();
    }).join();
    EXPECT_TRUE(cancelled);
  });
  EXPECT_LT(world.elapsed(), absl::Minutes(1));
}

TEST(WorldTest, ThenFunctionsOfStoppedMayWait) {
  World world;
  bool waited = false;
  world.run([&] {
    auto worker = Thread::run("worker", [](Signal please_stop) { please_stop.wait(); });
    Signal later;
    worker.stopped().then([&] { waited = static_cast<bool>(later.wait(absl::Seconds(5))); });
    auto helper = Thread::run("helper", [&](Signal) {
      sleep(absl::Seconds(1));
      later.go();
    });
    worker.stop().join();
    helper.join();
    sleep(absl::Seconds(10));
  });
  EXPECT_TRUE(waited);
}

// --- time --------------------------------------------------------------------------------------------------------------------------

TEST(WorldTest, TimeJumpsWhenAllSleep) {
  World world;
  world.run([&] {
    const auto start = Clock::current().now();
    std::vector<std::string> order;
    auto late = spawn("late", [&] {
      sleep(absl::Hours(2));
      order.push_back("two hours");
    });
    auto early = Thread::run("early", [&](Signal) {
      sleep(absl::Hours(1));
      order.push_back("one hour");
    });
    Till(absl::Minutes(90)).then([&] { order.push_back("ninety minutes"); });
    late.join();
    EXPECT_THAT(order, ElementsAre("one hour", "ninety minutes", "two hours"));
    EXPECT_EQ(Clock::current().now() - start, std::chrono::hours(2));
  });
  EXPECT_EQ(world.elapsed(), absl::Hours(2));
}

TEST(WorldTest, TimeStandsStillWhileAnybodyCanRun) {
  World world;
  world.run([&] {
    Signal done;
    auto busy = Thread::run("busy", [&](Signal) {
      for (int i = 0; i < 1000; ++i) yield();
      done.go();
    });
    EXPECT_TRUE(done.wait(absl::Nanoseconds(1)));
  });
  EXPECT_EQ(world.elapsed(), absl::ZeroDuration());
}

TEST(WorldTest, WhoYieldsUntilATimeComesToIt) {
  World world;
  world.run([&] {
    const auto end = Clock::current().now() + std::chrono::seconds(1);
    Till tick(absl::Seconds(1));
    while (Clock::current().now() < end) yield();
  });
  EXPECT_EQ(world.elapsed(), absl::Seconds(1));
}

TEST(WorldTest, TillsThatAreLeftGoBeforeRunReturns) {
  World world;
  int gone = 0;
  world.run([&] {
    Till(absl::Hours(1)).then([&] {
      ++gone;
      Till(absl::Hours(1)).then([&] { ++gone; });
    });
  });
  EXPECT_EQ(gone, 2);
}

TEST(WorldTest, ThenFunctionsOfTillsMustNotBlock) {
  World world;
  std::string refusal;
  world.run([&] {
    Till(absl::Seconds(1)).then([&] {
      try {
        Signal().wait();
      } catch (const Misuse& misuse) {
        refusal = misuse.what();
      }
    });
  });
  EXPECT_THAT(refusal, HasSubstr("Deadlock detected"));
}

TEST(WorldTest, AThenFunctionOfATillMayStartAThread) {
  World world;
  int ran = 0;
  world.run([&] {
    Till(absl::Seconds(1)).then([&] {
      Thread::run("from a timer", [&](Signal) {
        sleep(absl::Seconds(1));
        ++ran;
      }).release();
    });
    sleep(absl::Seconds(5));
  });
  EXPECT_EQ(ran, 1);
}

}  // namespace
}  // namespace cooperative::testing
