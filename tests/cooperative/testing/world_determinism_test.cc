// The same seed gives the same run, also where every operation is a place to switch, and with all that there is in one program.

#include <cstdint>
#include <optional>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/fiber.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "cooperative/testing/world.h"
#include "cooperative/threaded_event_queue.h"
#include "mothreads/lock.h"
#include "mothreads/queue.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "mothreads/thread_group.h"
#include "mothreads/till.h"
#include "tests/cooperative/testing/wander.h"
#include "tests/support/watchdog.h"

namespace cooperative::inline v0::testing {
namespace {

using mothreads::Lock;
using mothreads::Queue;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::ThreadGroup;
using mothreads::Till;

constexpr int kSeeds = 200;
constexpr int kWorkers = 3;
constexpr int kFibers = 3;
constexpr int kRounds = 3;

// The objects that the fibers of all threads share.
struct Shared {
  Lock lock{"sum"};
  Queue<int> numbers{"numbers", {.max = 2}};
  ThreadedEventQueue<int> news;
  Signal half{"half is done"};
  std::vector<Scheduler> schedulers;
  int rounds = 0;
  int sum = 0;
  int calls = 0;
};

void one_round(World& world, Shared& shared, int number, const Signal& please_stop) {
  {
    auto held = shared.lock.enter();
    ++shared.rounds;
    held.changed();
  }
  const Till soon(absl::Milliseconds(1 + world.random(3)));
  soon.then([&shared] { ++shared.calls; });
  static_cast<void>(shared.numbers.add(number, please_stop | absl::Seconds(1)));
  shared.news.signal(number);
  if (!shared.half) static_cast<void>((soon | shared.half).wait(absl::Milliseconds(world.random(4))));
  wander(world);
}

void work(World& world, Shared& shared, const Signal& please_stop) {
  {
    auto held = shared.lock.enter();
    shared.schedulers.push_back(Scheduler::current());
  }
  std::vector<Fiber<void>> fibers;
  for (int f = 0; f < kFibers; ++f) {
    fibers.push_back(spawn("fiber", [&, f] {
      for (int i = 0; i < kRounds; ++i) one_round(world, shared, 10 * f + i, please_stop);
    }));
  }
  for (auto& fiber : fibers) fiber.join();
  auto held = shared.lock.enter_when([&] { return shared.rounds == kWorkers * kFibers * kRounds; });
}

// Gives what all of it came to, and the hash of all decisions.
struct Outcome {
  std::uint64_t signature = 0;
  int sum = 0;
  int calls = 0;
  int news = 0;
  absl::Duration elapsed;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

Outcome heaviest(const WorldOptions& options) {
  Outcome outcome;
  World world(options);
  Shared shared;
  world.run([&] {
    ThreadGroup workers("workers");
    for (int t = 0; t < kWorkers; ++t) workers.run("worker", [&](Signal please_stop) { work(world, shared, please_stop); });
    auto adder = Thread::run("adder", [&](Signal) {
      for (const int number : shared.numbers) {
        auto held = shared.lock.enter();
        shared.sum += number;
        if (shared.sum > 100) shared.half.go();
      }
    });
    auto reader = Thread::run("reader", [&](Signal please_stop) {
      for (int number : shared.news.until(please_stop)) outcome.news += number;
    });
    // A bridge to the scheduler of a thread that may end meanwhile.
    for (int i = 0; i < 5; ++i) {
      sleep(absl::Milliseconds(world.random(3)));
      std::optional<Scheduler> other;
      {
        auto held = shared.lock.enter();
        if (!shared.schedulers.empty()) other = shared.schedulers[world.random(shared.schedulers.size())];
      }
      if (other) static_cast<void>(other->callback([&] { ++shared.calls; }));
    }
    workers.join();
    shared.numbers.close();
    adder.join();
    shared.news.close();
    reader.join();
  });
  outcome.sum = shared.sum;
  outcome.calls = shared.calls;
  outcome.elapsed = world.elapsed();
  outcome.signature = world.signature();
  return outcome;
}

class WorldDeterminismTest : public ::testing::TestWithParam<WorldOptions> {};

TEST_P(WorldDeterminismTest, TwoHundredSeedsTwiceWithoutADifference) {
  std::set<std::uint64_t> signatures;
  for (int seed = 1; seed <= kSeeds; ++seed) {
    mothreads::testing::restart_watchdog();
    WorldOptions options = GetParam();
    options.seed = static_cast<std::uint64_t>(seed);
    const Outcome once = heaviest(options);
    EXPECT_EQ(once, heaviest(options)) << "seed " << seed;
    EXPECT_EQ(once.sum, kWorkers * kRounds * (0 + 10 + 20) + kWorkers * kFibers * (0 + 1 + 2)) << "seed " << seed;
    signatures.insert(once.signature);
  }
  EXPECT_EQ(signatures.size(), static_cast<std::size_t>(kSeeds));
}

INSTANTIATE_TEST_SUITE_P(Modes, WorldDeterminismTest,
                         ::testing::Values(WorldOptions{}, WorldOptions{.switch_at = SwitchAt::every_operation},
                                           WorldOptions{.switch_at = SwitchAt::every_operation, .order = Order::priority_changes}),
                         [](const auto& mode) {
                           if (mode.param.switch_at == SwitchAt::waits) return "waits";
                           return mode.param.order == Order::uniform ? "uniform" : "priority_changes";
                         });

}  // namespace
}  // namespace cooperative::testing
