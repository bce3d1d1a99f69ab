#include "cooperative/testing/world.h"

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/blocking_pool.h"
#include "cooperative/callback_queue.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/event_queue.h"
#include "cooperative/fiber.h"
#include "cooperative/fiber_group.h"
#include "cooperative/foreign_loop.h"
#include "cooperative/quit.h"
#include "cooperative/rlock.h"
#include "cooperative/scheduler.h"
#include "cooperative/signal_callback.h"
#include "cooperative/sleep.h"
#include "cooperative/threaded_event_queue.h"
#include "cooperative/timer.h"
#include "mothreads/clock.h"
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

namespace cooperative::testing {
namespace {

using mothreads::Clock;
using mothreads::Lock;
using mothreads::Misuse;
using mothreads::Queue;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::Till;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

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

// --- the seed ----------------------------------------------------------------------------------------------------------------------

// Several threads with fibers that note their steps.
struct Steps {
  std::string order;
  std::uint64_t signature = 0;
};

Steps steps_of(std::uint64_t seed, bool interrupt_posts = false) {
  Steps steps;
  World world({.seed = seed, .interrupt_posts = interrupt_posts});
  world.run([&] {
    std::vector<mothreads::ThreadHandle<void>> threads;
    for (char name : {'a', 'b', 'c'}) {
      threads.push_back(Thread::run(std::string(1, name), [&, name](Signal) {
        const auto note = [&](int fiber) {
          for (int i = 0; i < 3; ++i) {
            steps.order += name;
            steps.order += static_cast<char>('0' + fiber);
            yield();
          }
        };
        auto first = spawn("1", note, 1);
        auto second = spawn("2", note, 2);
        first.join();
        second.join();
      }));
    }
    for (auto& thread : threads) thread.join();
  });
  steps.signature = world.signature();
  return steps;
}

TEST(WorldSeedTest, TheSameSeedGivesTheSameRun) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const Steps once = steps_of(seed);
    const Steps again = steps_of(seed);
    EXPECT_EQ(once.order, again.order) << "seed " << seed;
    EXPECT_EQ(once.signature, again.signature) << "seed " << seed;
  }
}

TEST(WorldSeedTest, OtherSeedsGiveOtherRuns) {
  std::set<std::string> orders;
  std::set<std::uint64_t> signatures;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const Steps steps = steps_of(seed);
    orders.insert(steps.order);
    signatures.insert(steps.signature);
  }
  EXPECT_GT(orders.size(), 40u);
  EXPECT_GE(signatures.size(), orders.size());
}

TEST(WorldSeedTest, WithinAThreadTheOrderIsItsSchedulers) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const std::string order = steps_of(seed).order;
    std::string of_b;
    for (std::size_t i = 0; i < order.size(); i += 2) {
      if (order[i] == 'b') of_b += order[i + 1];
    }
    EXPECT_EQ(of_b, "121212") << "seed " << seed;
  }
}

TEST(WorldSeedTest, ItsRandomNumbersAreItsOwn) {
  World world({.seed = 42});
  World same({.seed = 42});
  std::set<std::uint64_t> numbers;
  for (int i = 0; i < 100; ++i) {
    const std::uint64_t number = world.random(10);
    EXPECT_EQ(number, same.random(10));
    numbers.insert(number);
  }
  EXPECT_EQ(numbers.size(), 10u);
  EXPECT_EQ(*numbers.rbegin(), 9u);
}

// Whether two threads can lose an update where a test says that they could be interrupted.
bool loses_an_update(std::uint64_t seed) {
  World world({.seed = seed});
  int value = 0;
  world.run([&] {
    const auto increment = [&](Signal) {
      const int read = value;
      world.interrupt();
      value = read + 1;
    };
    auto a = Thread::run("a", increment);
    auto b = Thread::run("b", increment);
    a.join();
    b.join();
  });
  return value == 1;
}

TEST(WorldSeedTest, InterruptLetsOtherThreadsRun) {
  std::set<bool> seen;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    seen.insert(loses_an_update(seed));
    EXPECT_EQ(loses_an_update(seed), loses_an_update(seed));
  }
  EXPECT_THAT(seen, ElementsAre(false, true));
}

TEST(WorldSeedTest, InterruptLetsNoFiberOfItsOwnRun) {
  for_each_seed(50, [](World& world) {
    world.run([&] {
      bool ran = false;
      auto fiber = spawn("fiber", [&] { ran = true; });
      auto thread = Thread::run("other", [](Signal) {});
      for (int i = 0; i < 10; ++i) world.interrupt();
      EXPECT_FALSE(ran);
    });
  });
}

TEST(WorldSeedTest, AFiberThatBeginsAtOnceComesBeforeAllOthersOfItsThread) {
  for_each_seed(50, [](World& world) {
    world.run([&] {
      auto thread = Thread::run("other", [](Signal) {
        for (int i = 0; i < 3; ++i) yield();
      });
      std::string order;
      auto ready = spawn("ready", [&] { order += 'r'; });
      auto at_once = spawn({.name = "at once", .start = Start::at_once}, [&] {
        order += 'a';
        world.interrupt();
        order += 'b';
        yield();
        order += 'd';
      });
      order += 'c';
      ready.join();
      at_once.join();
      EXPECT_EQ(order, "abcrd");
    });
  });
}

TEST(WorldSeedTest, PostsMayBeInterrupted) {
  const auto runs_at_once = [](std::uint64_t seed, bool interrupt_posts) {
    bool ran = false;
    bool ran_at_once = false;
    World world({.seed = seed, .interrupt_posts = interrupt_posts});
    world.run([&] {
      Signal ready;
      Signal end;
      std::optional<Scheduler> other;
      auto thread = Thread::run("other", [&](Signal) {
        other.emplace(Scheduler::current());
        ready.go();
        end.wait();
      });
      ready.wait();
      other->callback([&] {
        ran = true;
        end.go();
      });
      ran_at_once = ran;
      thread.join();
    });
    return ran_at_once;
  };
  std::set<bool> seen;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    EXPECT_FALSE(runs_at_once(seed, false));
    seen.insert(runs_at_once(seed, true));
  }
  EXPECT_THAT(seen, ElementsAre(false, true));
}

class EnvironmentVariable {
 public:
  EnvironmentVariable(const char* name, const char* value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    value == nullptr ? unsetenv(name) : setenv(name, value, 1);
  }
  ~EnvironmentVariable() { before_ ? setenv(name_, before_->c_str(), 1) : unsetenv(name_); }

 private:
  const char* name_;
  std::optional<std::string> before_;
};

std::vector<std::uint64_t> seeds_of(std::size_t count) {
  std::vector<std::uint64_t> seeds;
  for_each_seed(count, [&](World& world) { seeds.push_back(world.seed()); });
  return seeds;
}

TEST(ForEachSeedTest, CountsFromOne) {
  const EnvironmentVariable none("WORLD_SEED", nullptr);
  const EnvironmentVariable none_either("WORLD_SEEDS", nullptr);
  EXPECT_THAT(seeds_of(3), ElementsAre(1, 2, 3));
  EXPECT_THAT(seeds_of(0), IsEmpty());
}

TEST(ForEachSeedTest, TheEnvironmentSaysHowManyOrWhich) {
  const EnvironmentVariable none("WORLD_SEED", nullptr);
  const EnvironmentVariable count("WORLD_SEEDS", "5");
  EXPECT_THAT(seeds_of(3), ElementsAre(1, 2, 3, 4, 5));
  const EnvironmentVariable one("WORLD_SEED", "42");
  EXPECT_THAT(seeds_of(3), ElementsAre(42));
  const EnvironmentVariable wrong("WORLD_SEED", "forty");
  EXPECT_THROW(seeds_of(3), Misuse);
}

TEST(ForEachSeedTest, AnExceptionEndsIt) {
  const EnvironmentVariable none("WORLD_SEED", nullptr);
  const EnvironmentVariable none_either("WORLD_SEEDS", nullptr);
  std::uint64_t last = 0;
  ::testing::internal::CaptureStderr();
  EXPECT_THROW(for_each_seed(10, [&](World& world) {
    last = world.seed();
    world.run([&] {
      if (world.seed() == 4) throw std::runtime_error("the fourth");
    });
  }), std::runtime_error);
  EXPECT_EQ(last, 4u);
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("World seed 4: an exception left run()"));
}

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
          auto asker = spawn("asker", [&] { scheduler->callback_result(RunIn::callbacks, [&] { saved.wait(); }); });
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
      "thread \"server\" waits for the end of fiber stubborn; please_stop was given\n +#0 0x(.|\n)*"
      "thread \"child of server\" pops from queue numbers; please_stop was given\n +#0 0x(.|\n)*"
      "fiber \"stubborn\" waits for the end of fiber below; it was cancelled\n +#0 0x(.|\n)*"
      "fiber \"below\" waits for signal saved; please_stop was given; it was cancelled\n +#0 0x");
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

TEST(WorldDeathTest, ASignalCallbackIsNotPostedFromOutside) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        World world({.seed = 42});
        world.run([] {
          SignalCallback callback(Scheduler::current(), [] {});
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
    EXPECT_THROW(mothreads::RegisterThread("main"), Misuse);
    EXPECT_THROW(quit(), Misuse);
    EXPECT_THROW(wait_for_quit(), Misuse);
    EXPECT_THROW(ForeignLoop(), Misuse);
    World inner;
    EXPECT_THROW(inner.run([] {}), Misuse);
    EXPECT_THROW(world.run([] {}), Misuse);
  });
}

}  // namespace
}  // namespace cooperative::testing
