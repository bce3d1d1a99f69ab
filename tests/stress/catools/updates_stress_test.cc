// A thousand variables, a hundred times a second, from a server of this process to fibers of this process: each update comes, in order, and memory does not
// grow. UPDATES_STRESS_SECONDS=600 makes it thorough.

#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "catools/camonitor.h"
#include "catools/server/server.h"
#include "catools/use_servers.h"
#include "cooperative/event.h"
#include "mothreads/clock.h"
#include "mothreads/instant.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "tests/support/sanitized.h"
#include "tests/support/storm.h"

namespace catools::testing {
namespace {

using mothreads::Signal;
using mothreads::Thread;

constexpr std::size_t kVariables = 1000;
constexpr absl::Duration kPeriod = absl::Milliseconds(10);
// Laps at most. A processor that is too slow for the rate takes longer, and loses none: libca would ask the server for the last values alone.
constexpr std::int64_t kAhead = 2;

std::int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::int64_t all = 0, resident = 0;
  file >> all >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

TEST(UpdatesStressTest, EachComesAndMemoryDoesNotGrow) {
  const auto seconds = mothreads::testing::from_environment("UPDATES_STRESS_SECONDS", 3);
  const std::int64_t laps = std::int64_t{seconds} * (absl::Seconds(1) / kPeriod);
  Server server("many", {.monitor_queue = 1000});
  std::vector<Served<std::int32_t>> variables;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < kVariables; ++i) {
    names.push_back("MANY:" + std::to_string(i));
    variables.push_back(server.add<std::int32_t>(names.back(), 0));
  }
  use_servers({server.address()});

  std::vector<std::int32_t> last(kVariables, -1);
  std::int64_t gaps = 0;
  std::atomic<std::int64_t> came{0};
  std::size_t connected = 0;
  std::size_t finished = 0;
  cooperative::Event<> changed;
  const auto watches = camonitor(
      names,
      [&](const Value& value, std::size_t number) {
        const auto now = value.as<std::int32_t>();
        if (last[number] == -1) {
          if (++connected == kVariables) changed.signal();
        } else if (now != last[number] + 1) {
          ++gaps;
        }
        last[number] = now;
        came.fetch_add(1, std::memory_order_relaxed);
        if (now == laps && ++finished == kVariables) changed.signal();
      },
      {.all_updates = true});
  changed.wait(absl::Seconds(60));

  // Memory that is there after a fifth has come is what there is in the end.
  std::atomic<std::int64_t> early{0};
  auto player = Thread::run("player", [&](const Signal& please_stop) {
    const mothreads::Instant begin = mothreads::Clock::current().now();
    for (std::int64_t lap = 1; lap <= laps; ++lap) {
      static_cast<void>(please_stop.wait(begin + absl::ToChronoNanoseconds(kPeriod * lap)));
      while (came.load(std::memory_order_relaxed) < (lap - kAhead) * static_cast<std::int64_t>(kVariables)) static_cast<void>(please_stop.wait(kPeriod));
      for (const auto& variable : variables) variable.set(static_cast<std::int32_t>(lap));
      if (lap == laps / 5) early = resident_bytes();
    }
  });
  player.join();
  changed.wait(absl::Seconds(60));
  EXPECT_EQ(gaps, 0);
  EXPECT_EQ(server.statistics().dropped, 0u);
  EXPECT_EQ(server.statistics().updates, kVariables * (static_cast<std::uint64_t>(laps) + 1));
  std::printf("%lld updates, %lld bytes more than after a fifth of them\n", static_cast<long long>(laps * static_cast<std::int64_t>(kVariables)),
              static_cast<long long>(resident_bytes() - early));
  if (!mothreads::testing::kSanitized) {  // a sanitizer keeps what was freed
    EXPECT_LT(resident_bytes() - early, std::int64_t{4} << 20);
  }
}

}  // namespace
}  // namespace catools::testing
