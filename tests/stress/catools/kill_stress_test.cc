// The server is killed at random moments in the middle of every verb. KILL_STRESS_ROUNDS=200 makes it thorough; each takes about a second.

#include <atomic>
#include <chrono>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "catools/caget.h"
#include "catools/camonitor.h"
#include "catools/caput.h"
#include "catools/connect.h"
#include "cooperative/fiber.h"
#include "tests/catools/support/source.h"
#include "tests/support/storm.h"
#include "tests/support/watchdog.h"

namespace catools::testing {
namespace {

const absl::Duration kPatience = absl::Milliseconds(300);

template <typename Source>
class KillStressTest : public ::testing::Test {
 protected:
  static std::string pv(std::string_view name) { return std::string(Source::kPrefix) + std::string(name); }
};
TYPED_TEST_SUITE(KillStressTest, Sources);

template <typename Source, typename F>
void until_it_fails(const std::atomic<bool>& is_over, F verb) {
  while (!is_over.load()) {
    try {
      verb();
    } catch (const Error& error) {
      EXPECT_THAT(error.name(), ::testing::StartsWith(std::string(Source::kPrefix))) << error.what();
      EXPECT_TRUE(error.code() == Code::disconnected || error.code() == Code::timed_out) << error.what();
    }
  }
}

TYPED_TEST(KillStressTest, EveryVerbEndsWithAReason) {
  const unsigned rounds = mothreads::testing::from_environment("KILL_STRESS_ROUNDS", 8);
  const unsigned seed = mothreads::testing::from_environment("KILL_STRESS_SEED", 1);
  for (unsigned round = 0; round < rounds; ++round) {
    SCOPED_TRACE("KILL_STRESS_SEED=" + std::to_string(seed + round));
    mothreads::testing::restart_watchdog();
    std::mt19937 random(seed + round);
    std::atomic<bool> is_over{false};
    const std::vector<std::string> names{this->pv("double"), this->pv("long"), this->pv("wave"), this->pv("other")};
    TypeParam source;
    connect(names);

    std::vector<std::thread> threads;
    threads.emplace_back([&] { until_it_fails<TypeParam>(is_over, [&] { static_cast<void>(caget(names, {.format = Format::time}, kPatience)); }); });
    threads.emplace_back([&] { until_it_fails<TypeParam>(is_over, [&] { caput(names[3], 1, {.wait = true}, kPatience); }); });
    threads.emplace_back([&] { until_it_fails<TypeParam>(is_over, [&] { caput(names[3], 2, kPatience); }); });
    threads.emplace_back([&] {
      int calls = 0;
      std::vector<Subscription> watches;
      for (const std::string& name : names) watches.push_back(camonitor(name, [&](const Value&) { ++calls; }, {.notify_disconnect = true}));
      auto fiber = cooperative::spawn("get", [&] { until_it_fails<TypeParam>(is_over, [&] { static_cast<void>(caget<double>(names[0], kPatience)); }); });
      until_it_fails<TypeParam>(is_over, [&] {
        Subscription watch = camonitor(names[3], {.all_updates = true, .notify_disconnect = true});
        static_cast<void>(watch.next(kPatience));
        static_cast<void>(watch.next(absl::Milliseconds(1)));
        static_cast<void>(cainfo(names[1], kPatience));
      });
      fiber.join();
    });
    std::this_thread::sleep_for(std::chrono::microseconds(std::uniform_int_distribution<int>(0, 100'000)(random)));
    source.kill();
    std::this_thread::sleep_for(std::chrono::microseconds(std::uniform_int_distribution<int>(0, 20'000)(random)));
    is_over = true;
    for (std::thread& thread : threads) thread.join();

    EXPECT_TRUE(subscriptions().empty());
    // What libca still has of a verb that was given up ends when it notices.
    while (!channels().empty()) {
      release_unused_channels();
      std::this_thread::yield();
    }
    source.start();
  }
}

}  // namespace
}  // namespace catools::testing
