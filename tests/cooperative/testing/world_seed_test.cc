// What the seed decides, and what it does not.

#include <cstdint>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "cooperative/testing/world.h"
#include "mothreads/misuse.h"
#include "mothreads/retry.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "mothreads/till.h"
#include "tests/support/environment.h"

namespace cooperative::inline v0::testing {
namespace {

using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::testing::EnvironmentVariable;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

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

// When a function that fails is called again.
std::vector<absl::Duration> times_of_attempts(std::uint64_t seed) {
  std::vector<absl::Duration> times;
  World world({.seed = seed});
  world.run([&] {
    EXPECT_THROW(mothreads::retry({.attempts = 4}, [&] {
      times.push_back(world.elapsed());
      throw std::runtime_error("busy");
    }), std::runtime_error);
  });
  return times;
}

TEST(WorldSeedTest, ThePausesOfRetryFollowFromTheSeed) {
  std::set<absl::Duration> ends;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const std::vector<absl::Duration> once = times_of_attempts(seed);
    EXPECT_EQ(once.size(), 4U);
    EXPECT_EQ(once, times_of_attempts(seed)) << "seed " << seed;
    EXPECT_LE(once.back(), absl::Milliseconds(100 + 200 + 400));
    EXPECT_GE(once.back(), absl::Milliseconds(50 + 100 + 200));
    ends.insert(once.back());
  }
  EXPECT_EQ(ends.size(), 20U);
}

TEST(WorldSeedTest, AFiberThatIsCancelledInAPauseOfRetryIsUnwound) {
  int calls = 0;
  World world;
  world.run([&] {
    auto careless = spawn("careless", [&] {
      mothreads::retry({.attempts = mothreads::RetryOptions::kAnyNumber}, [&] {
        ++calls;
        throw std::runtime_error("busy");
      });
    });
    yield();
    EXPECT_THROW(careless.stop().join(), WasCancelled);
  });
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(world.elapsed(), absl::ZeroDuration());
}

TEST(WorldSeedTest, AFiberThatIsCancelledInsideOfRetryIsNotCalledAgain) {
  int calls = 0;
  World world;
  world.run([&] {
    auto careless = spawn("careless", [&] {
      mothreads::retry({}, [&] {
        ++calls;
        sleep(absl::Hours(1));
      });
    });
    yield();
    EXPECT_THROW(careless.stop().join(), WasCancelled);
  });
  EXPECT_EQ(calls, 1);
}

TEST(WorldSeedTest, APauseOfRetryOnAThreadThatNothingMayBlockIsMisuse) {
  int calls = 0;
  bool was_refused = false;
  World world;
  world.run([&] {
    mothreads::Till(absl::Seconds(1)).then([&] {
      try {
        mothreads::retry({}, [&] {
          ++calls;
          throw std::runtime_error("busy");
        });
      } catch (const Misuse&) {
        was_refused = true;
      }
    });
    sleep(absl::Seconds(2));
  });
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(was_refused);
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

}  // namespace
}  // namespace cooperative::testing
