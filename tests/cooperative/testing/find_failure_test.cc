// A World that switches at every operation finds classic faults, repeats them, and makes them short. The table of
// docs/deterministic_tests.md is what the first test prints.

#include "cooperative/testing/find_failure.h"

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/sleep.h"
#include "cooperative/testing/world.h"
#include "mothreads/lock.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "tests/cooperative/testing/planted_faults.h"
#include "tests/support/environment.h"
#include "tests/support/watchdog.h"

namespace cooperative::inline v0::testing {
namespace {

using mothreads::Lock;
using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::testing::EnvironmentVariable;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::size_t kSeeds = 100;
constexpr std::size_t kMostSwitches = 2;
constexpr std::string_view kSeedIs = "WORLD_SEED=";
constexpr std::string_view kSwitchesAre = " WORLD_SWITCHES=";

WorldOptions everywhere(Order order) { return {.switch_at = SwitchAt::every_operation, .order = order, .shrink = true}; }

std::string_view name_of(Order order) { return order == Order::uniform ? "uniform" : "priority_changes"; }

class FindFailureTest : public ::testing::Test {
  const NoWorldVariables none_{};
};

class PlantedFaultTest : public FindFailureTest, public ::testing::WithParamInterface<Order> {};

TEST_P(PlantedFaultTest, FindsEachPlantedFaultAndMakesItShort) {
  for (const PlantedFault& fault : planted_faults()) {
    mothreads::testing::restart_watchdog();
    const std::optional<WorldFailure> found = find_failure(kSeeds, fault.run, everywhere(GetParam()));
    ASSERT_TRUE(found) << fault.name << " was not found";
    ASSERT_LE(found->switches.size(), kMostSwitches) << fault.name << "\n" << found->report();
    EXPECT_LE(found->switches.size(), found->switches_before) << fault.name;
    std::printf("| %s | %s | %d | %zu | %zu | %zu |\n", std::string(fault.name).c_str(), std::string(name_of(GetParam())).c_str(),
                static_cast<int>(found->seed), found->switches_before, found->switches.size(), found->runs);
  }
}

TEST_P(PlantedFaultTest, ReplaysEachExactly) {
  for (const PlantedFault& fault : planted_faults()) {
    mothreads::testing::restart_watchdog();
    const WorldOptions options = everywhere(GetParam());
    const auto found = find_failure(kSeeds, fault.run, options);
    ASSERT_TRUE(found) << fault.name;
    const std::size_t between = found->again.find(' ');
    ASSERT_NE(between, std::string::npos) << found->again;
    const EnvironmentVariable seed("WORLD_SEED", found->again.substr(kSeedIs.size(), between - kSeedIs.size()).c_str());
    {
      // The seed alone: the run as it was found, and once more the way to the shortest list.
      const auto again = find_failure(kSeeds, fault.run, options);
      ASSERT_TRUE(again) << fault.name;
      EXPECT_EQ(again->report(), found->report());
      EXPECT_EQ(again->signature, found->signature);
    }
    const std::string list = found->again.substr(between + kSwitchesAre.size());
    const EnvironmentVariable switches("WORLD_SWITCHES", list.c_str());
    const auto again = find_failure(kSeeds, fault.run, {.switch_at = SwitchAt::every_operation});
    ASSERT_TRUE(again) << fault.name;
    EXPECT_EQ(again->switches_before, found->switches.size());
    EXPECT_EQ(again->signature, found->signature);
    EXPECT_EQ(again->what, found->what);
    EXPECT_EQ(again->again, found->again);
  }
}

INSTANTIATE_TEST_SUITE_P(Orders, PlantedFaultTest, ::testing::Values(Order::uniform, Order::priority_changes),
                         [](const auto& order) { return std::string(name_of(order.param)); });

// --- what is found, and how it is said ---------------------------------------------------------------------------------------------

// The other mode is for the order of waits.
TEST_F(FindFailureTest, AWorldThatSwitchesAtWaitsFindsNoneOfThem) {
  for (const PlantedFault& fault : planted_faults()) {
    mothreads::testing::restart_watchdog();
    EXPECT_FALSE(find_failure(kSeeds, fault.run)) << fault.name;
  }
}

TEST_F(FindFailureTest, FindsNothingInAProgramWithoutAFault) {
  for (const Order order : {Order::uniform, Order::priority_changes}) {
    EXPECT_FALSE(find_failure(kSeeds, [](World& world) {
      Lock lock("counter");
      int counter = 0;
      world.run([&] {
        const auto add = [&](Signal) {
          auto held = lock.enter();
          ++counter;
        };
        auto one = Thread::run("one", add);
        auto two = Thread::run("two", add);
        one.join();
        two.join();
      });
      EXPECT_EQ(counter, 2);
    }, everywhere(order)));
  }
}

TEST_F(FindFailureTest, SaysWhoDidWhatInOrder) {
  const auto found = find_failure(kSeeds, [](World& world) { EXPECT_EQ(count_by_two(world), 2); }, everywhere(Order::uniform));
  ASSERT_TRUE(found);
  EXPECT_THAT(found->what, HasSubstr("the test has failed"));
  ASSERT_THAT(found->switches, SizeIs(1));
  EXPECT_THAT(found->switches[0].who, ContainsRegex("(one|two) \\(id [23]\\)"));
  EXPECT_THAT(found->switches[0].where, ContainsRegex("(after it leaves|before it enters) Lock \"counter\""));
  EXPECT_THAT(found->switches[0].to, ContainsRegex("(one|two) \\(id [23]\\)"));
  EXPECT_THAT(found->report(), ContainsRegex("Shrunk from [0-9]+ switches to 1 in [0-9]+ runs."));
  EXPECT_THAT(found->report(), ContainsRegex("Again, this test alone: WORLD_SEED=[0-9]+ WORLD_SWITCHES=[23][.][0-9]+:[23] "));
}

TEST_F(FindFailureTest, SaysHowADeadlockCameAndWhoWaits) {
  const auto found = find_failure(1, [](World& world) { world.run([] { Signal("that nobody lets go").wait(); }); }, everywhere(Order::uniform));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->seed, 1u);
  EXPECT_THAT(found->what, HasSubstr("deadlock"));
  EXPECT_THAT(found->what, HasSubstr("that nobody lets go"));
  EXPECT_THAT(found->switches, IsEmpty());
  EXPECT_THAT(found->report(), HasSubstr("No switch is needed."));
}

TEST_F(FindFailureTest, SaysWhatWasThrown) {
  const auto found = find_failure(3, [](World& world) {
    world.run([&] {
      if (world.seed() == 2) throw std::runtime_error("the second");
    });
  });
  ASSERT_TRUE(found);
  EXPECT_EQ(found->seed, 2u);
  EXPECT_THAT(found->what, HasSubstr("World seed 2: an exception left the test: the second"));
}

TEST_F(FindFailureTest, SaysThatTheProcessDied) {
  const auto found = find_failure(1, [](World& world) { world.run([] { std::abort(); }); });
  ASSERT_TRUE(found);
  EXPECT_THAT(found->what, HasSubstr("its process was ended by signal 6"));
}

TEST_F(FindFailureTest, EndsARunThatTakesTooLong) {
  const auto found = find_failure(1, [](World& world) {
    world.run([] {
      const Signal never("never");
      auto looper = Thread::run("looper", [&](Signal) {
        while (!never) {
        }
      });
      looper.join();
    });
  }, {.switch_at = SwitchAt::every_operation, .step_limit = 5'000});
  ASSERT_TRUE(found);
  EXPECT_THAT(found->what, HasSubstr("has not ended after 5000 places"));
}

TEST_F(FindFailureTest, LeavesTheCallersMemoryAlone) {
  int runs = 0;
  EXPECT_FALSE(find_failure(3, [&](World& world) {
    world.run([] {});
    EXPECT_EQ(++runs, 1);
  }));
  EXPECT_EQ(runs, 0);
}

// Their schedulers are used again in the processes that are forked.
TEST_F(FindFailureTest, WorldsMayHaveRunHereBefore) {
  const auto with_threads = [](World& world) {
    world.run([] {
      const auto wait_a_little = [](Signal) { sleep(absl::Milliseconds(1)); };
      auto one = Thread::run("one", wait_a_little);
      auto two = Thread::run("two", wait_a_little);
      one.join();
      two.join();
    });
  };
  for_each_seed(3, with_threads);
  EXPECT_FALSE(find_failure(3, with_threads));
}

TEST_F(FindFailureTest, RefusesAListWithoutItsSeedAndWhatIsNoList) {
  const auto nothing = [](World& world) { world.run([] {}); };
  const EnvironmentVariable switches("WORLD_SWITCHES", "1.2:3");
  EXPECT_THROW(find_failure(1, nothing), Misuse);
  const EnvironmentVariable seed("WORLD_SEED", "1");
  EXPECT_FALSE(find_failure(1, nothing));
  const EnvironmentVariable wrong("WORLD_SWITCHES", "1.2>3");
  EXPECT_THROW(find_failure(1, nothing), Misuse);
}

}  // namespace
}  // namespace cooperative::testing
