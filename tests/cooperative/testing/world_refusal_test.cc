// Worlds that end badly, what their reports say, and what is refused in them.

#include <cstdlib>
#include <optional>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/blocking_pool.h"
#include "cooperative/callback_queue.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/fiber_group.h"
#include "cooperative/foreign_loop.h"
#include "cooperative/handler_callback.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "cooperative/testing/world.h"
#include "cooperative/threaded_event_queue.h"
#include "mothreads/lock.h"
#include "mothreads/main_thread.h"
#include "mothreads/misuse.h"
#include "mothreads/queue.h"
#include "mothreads/register_thread.h"
#include "mothreads/signal.h"
#include "mothreads/stopping.h"
#include "mothreads/thread.h"
#include "mothreads/thread_group.h"
#include "mothreads/till.h"

namespace cooperative::inline v0::testing {
namespace {

using mothreads::Lock;
using mothreads::Misuse;
using mothreads::Queue;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::Till;
using ::testing::HasSubstr;

using WorldDeathTest = ::testing::Test;

TEST(WorldDeathTest, AFailureInsideNamesTheSeedAndEndsTheSeeds) {
  EXPECT_EXIT(
      {
        unsetenv("WORLD_SEED");
        unsetenv("WORLD_SEEDS");
        for_each_seed(100, [](World& world) {
          world.run([&] { EXPECT_NE(world.seed(), 42u); });
          if (world.seed() > 42) std::_Exit(1);
        });
        std::_Exit(3);
      },
      ::testing::ExitedWithCode(3), "World seed 42: the test has failed");
}

// --- deadlocks and refusals --------------------------------------------------------------------------------------------------------

TEST(WorldDeathTest, ADeadlockNamesTheSeedAndWhoWaits) {
  EXPECT_DEATH(
      {
        World world({.seed = 42});
        world.run([] {
          Lock first("first");
          Lock second("second");
          Signal both;
          int holding = 0;
          const auto enter = [&](Lock& a, Lock& b) {
            auto held = a.enter();
            if (++holding == 2) both.go();
            both.wait();
            auto also_held = b.enter();
          };
          auto other = Thread::run("other", [&](Signal) { enter(second, first); });
          auto fiber = spawn("philosopher", enter, std::ref(first), std::ref(second));
          fiber.join();
        });
      },
      "World seed 42: a deadlock[^\n]*\n"
      "  thread \"main\" waits for the end of fiber philosopher\n"
      "    fiber \"philosopher\" enters lock second\n"
      "  thread \"other\" enters lock first");
}

TEST(WorldDeathTest, ADeadlockNamesWhatEveryFiberWaitsOn) {
  EXPECT_DEATH(
      {
        World world({.seed = 42});
        world.run([] {
          Queue<int> numbers("numbers");
          const Signal saved("saved");
          std::optional<Scheduler> scheduler;
          Signal ready("ready");
          auto server = Thread::run("server", [&](Signal) {
            scheduler.emplace(Scheduler::current());
            ready.go();
            FiberGroup tiles("tiles");
            tiles.spawn("tile", [&] {
              auto child = spawn("child", [&] { saved.wait(); });
              child.join();
            });
            tiles.join();
          });
          ready.wait();
          CallbackQueue updates(*scheduler, {.name = "updates", .max = 1});
          static_cast<void>(updates.callback([&] { saved.wait(); }));
          auto poster = spawn("poster", [&] {
            while (true) static_cast<void>(updates.callback([] {}));
          });
          auto popper = spawn("popper", [&] { static_cast<void>(numbers.pop()); });
          auto asker = spawn("asker", [&] { scheduler->callback_result([&] { saved.wait(); }, RunIn::callbacks); });
          server.join();
        });
      },
      "World seed 42: a deadlock[^\n]*\n"
      "  thread \"main\" waits for signal stopped of server\n"
      "    fiber \"asker\" waits for signal the end of a callback_result\\(\\)\n"
      "    fiber \"popper\" pops from queue numbers\n"
      "    fiber \"poster\" waits for room in the queue of callbacks updates\n"
      "  thread \"server\" waits for the end of group tiles\n"
      "    fiber \"callbacks\" waits for signal saved\n"
      "    fiber \"updates\" waits for signal saved\n"
      "    fiber \"tiles\" is a FiberGroup\n"
      "      fiber \"tile\" waits for the end of fiber child\n"
      "        fiber \"child\" waits for signal saved");
}

TEST(WorldDeathTest, AStopThatMissesItsDeadlineNamesTheSeed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // the report starts a thread
  EXPECT_EXIT(
      {
        World world({.seed = 42});
        world.run([] {
          auto stubborn = Thread::run("stubborn", [](Signal) {
            while (true) sleep(absl::Seconds(7));
          });
          sleep(absl::Seconds(1));
        });
      },
      ::testing::ExitedWithCode(mothreads::kExitDidNotStop), "World seed 42(.|\n)*stubborn");
}

TEST(WorldDeathTest, TheReportOfAStopNamesWhatEveryFiberWaitsOn) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        World world({.seed = 42});
        world.run([] {
          const Signal saved("saved");
          const Signal begun("begun");
          Queue<int> numbers("numbers");
          auto server = Thread::run("server", [&](Signal) {
            auto child = Thread::run("child of server", [&](Signal) { static_cast<void>(numbers.pop()); });
            auto stubborn = spawn("stubborn", [&] {
              const NoCancel whole;
              begun.go();
              auto below = spawn("below", [&](Signal) {
                const NoCancel whole_too;
                saved.wait();
              });
              below.join();
            });
            stubborn.join();
          });
          begun.wait();
        });
      },
      ::testing::ExitedWithCode(mothreads::kExitDidNotStop),
      "World seed 42\n(.|\n)*"
      "thread \"server\" waits for the end of fiber stubborn; please_stop was given\n    \\| +#0 0x(.|\n)*"
      "thread \"child of server\" pops from queue numbers; please_stop was given\n    \\| +#0 0x(.|\n)*"
      "fiber \"stubborn\" waits for the end of fiber below; it was cancelled\n    \\| +#0 0x(.|\n)*"
      "fiber \"below\" waits for signal saved; please_stop was given; it was cancelled\n    \\| +#0 0x");
}

TEST(WorldDeathTest, AThreadFromOutsideThatWakesOneInsideIsRefused) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        World world({.seed = 42});
        Signal from_outside;
        Signal waiting;
        std::thread outside([&] {
          waiting.wait();
          from_outside.go();
        });
        world.run([&] {
          spawn("announcer", [&] {
            waiting.go();
            outside.join();
          }).release();
          from_outside.wait();
        });
      },
      "World seed 42: a thread from outside woke one of the world's");
}

TEST(WorldDeathTest, AHandlerCallbackIsNotPostedFromOutside) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        World world({.seed = 42});
        world.run([] {
          HandlerCallback callback(Scheduler::current(), [] {});
          std::thread([&] { callback.post(); }).join();
        });
      },
      "World seed 42: a thread from outside woke one of the world's");
}

TEST(WorldRefusalTest, ThreadsFromOutsideMayNotPost) {
  World world({.seed = 42});
  std::string callback;
  std::string callback_result;
  world.run([&] {
    const Scheduler here = Scheduler::current();
    std::thread([&] {
      try {
        here.callback([] { ADD_FAILURE() << "ran"; });
      } catch (const Misuse& misuse) {
        callback = misuse.what();
      }
      try {
        here.callback_result([] { ADD_FAILURE() << "ran"; });
      } catch (const Misuse& misuse) {
        callback_result = misuse.what();
      }
    }).join();
    sleep(absl::Seconds(1));
  });
  EXPECT_THAT(callback, HasSubstr("Scheduler::callback() of a thread in a World (seed 42) was called from outside"));
  EXPECT_THAT(callback_result, HasSubstr("Scheduler::callback_result() of a thread in a World (seed 42) was called from outside"));
}

TEST(WorldRefusalTest, ThreadsFromOutsideMayNotPostToAQueue) {
  World world({.seed = 42});
  std::string refusal;
  world.run([&] {
    CallbackQueue queue(Scheduler::current());
    std::thread([&] {
      try {
        static_cast<void>(queue.callback([] { ADD_FAILURE() << "ran"; }));
      } catch (const Misuse& misuse) {
        refusal = misuse.what();
      }
    }).join();
    sleep(absl::Seconds(1));
  });
  EXPECT_THAT(refusal, HasSubstr("CallbackQueue::callback() of a thread in a World (seed 42) was called from outside"));
}

TEST(WorldRefusalTest, WhatIsOutsideStartsNoThreadsInside) {
  BlockingPool pool("pool");
  mothreads::ThreadGroup group("group");
  World world({.seed = 42});
  const auto refusal_of = [](auto&& start) {
    try {
      start();
    } catch (const Misuse& misuse) {
      return std::string(misuse.what());
    }
    return std::string("it was not refused");
  };
  world.run([&] {
    EXPECT_THAT(refusal_of([&] { pool.call([] {}); }),
                HasSubstr("\"pool 1\" of a World (seed 42) would run under \"pool\", which is outside and does not end with it"));
    EXPECT_THAT(refusal_of([&] { group.run("member", [](Signal) {}); }), HasSubstr("make what starts it"));
    BlockingPool inner("inner");
    EXPECT_EQ(inner.call([] { return 3; }), 3);
  });
  EXPECT_EQ(pool.call([] { return 4; }), 4);
}

TEST(WorldRefusalTest, NothingRunsWhereNothingMayWait) {
  std::string refusal;
  const auto me = std::this_thread::get_id();
  // One that has gone before it is given its function runs it here.
  for (bool is_elsewhere = false; !is_elsewhere;) {
    Signal done;
    Till(absl::Milliseconds(1)).then([&] {
      is_elsewhere = std::this_thread::get_id() != me;
      try {
        if (is_elsewhere) World().run([] {});
      } catch (const Misuse& misuse) {
        refusal = misuse.what();
      }
      done.go();
    });
    done.wait();
  }
  EXPECT_THAT(refusal, HasSubstr("then() function on a thread of the library"));
}

TEST(WorldRefusalTest, AnEndedThreadOfAWorldIsClosedForAll) {
  World world;
  std::optional<Scheduler> ended;
  world.run([&] { ended.emplace(Scheduler::current()); });
  EXPECT_TRUE(ended->has_ended());
  EXPECT_FALSE(ended->callback([] {}));
  EXPECT_THROW(ended->callback_result([] {}), Closed);
}

TEST(WorldRefusalTest, NothingRealInside) {
  World world({.seed = 42});
  world.run([&] {
    ThreadedEventQueue<int> queue;
    EXPECT_THROW(queue.wait_descriptor(), Misuse);
    EXPECT_THROW(mothreads::MainThread::run([](Signal) { return 0; }), Misuse);
    EXPECT_THROW(static_cast<void>(mothreads::RegisterThread("main")), Misuse);
    EXPECT_THROW(mothreads::wait_for_shutdown_signal(), Misuse);
    EXPECT_THROW(static_cast<void>(ForeignLoop()), Misuse);
    World inner;
    EXPECT_THROW(inner.run([] {}), Misuse);
    EXPECT_THROW(world.run([] {}), Misuse);
  });
}

}  // namespace
}  // namespace cooperative::testing
