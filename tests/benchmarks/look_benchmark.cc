// The cost of a look at 100,000 parked fibers from another thread, against reading 128 bytes for each; and the longest time that the
// scheduler with these fibers does not run meanwhile.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <vector>

#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "mothreads/instant.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kFibers = 100'000;

// A thread whose fibers wait until it is told to stop. While `runs`, it switches all the time, and keeps the longest time between two rounds.
class Parked {
 public:
  explicit Parked(bool runs)
      : thread_(mothreads::Thread::run("host", [this, runs](mothreads::Signal please_stop) {
          cooperative::Event<> wake(cooperative::Reset::manual);
          std::vector<cooperative::Fiber<void>> fibers;
          fibers.reserve(kFibers);
          for (std::size_t i = 0; i < kFibers; ++i) fibers.push_back(cooperative::spawn("parked", [&] { wake.wait(); }));
          cooperative::yield();
          scheduler_.emplace(cooperative::Scheduler::current());
          ready_.go();
          if (runs) {
            run(please_stop);
          } else {
            please_stop.wait();
          }
          wake.signal();
          for (auto& fiber : fibers) fiber.join();
        })) {
    ready_.wait();
  }
  const cooperative::Scheduler& scheduler() const { return *scheduler_; }
  // Of the scheduler, until now.
  Clock::duration longest_pause() {
    thread_.stop().join();
    return longest_;
  }

 private:
  void run(const mothreads::Signal& please_stop) {
    Clock::time_point last = Clock::now();
    while (!please_stop) {
      cooperative::yield();
      const Clock::time_point now = Clock::now();
      longest_ = std::max(longest_, now - last);
      last = now;
    }
  }

  std::optional<cooperative::Scheduler> scheduler_;
  mothreads::Signal ready_;
  Clock::duration longest_{};
  mothreads::ThreadHandle<void> thread_;
};

// Name, whether it waits, for what and since when.
std::uint64_t look(const cooperative::Scheduler& scheduler) {
  std::uint64_t sum = 0;
  std::size_t count = 0;
  scheduler.look([&](const cooperative::FiberLook& fiber) {
    sum += fiber.name.size() + fiber.wait.size() + static_cast<std::uint64_t>(fiber.since.value_or(mothreads::Instant()).time_since_epoch().count());
    ++count;
  });
  if (count != kFibers) std::abort();
  return sum;
}

// --- look.100k: per fiber ----------------------------------------------------------------------------------------------------

void look_ours(benchmark::State& state) {
  const Parked parked(/*runs=*/false);
  for (auto unused : state) benchmark::DoNotOptimize(look(parked.scheduler()));
}
BENCHMARK(look_ours)->Name("look.100k/ours")->UseRealTime();

// Two lines of the cache for each of as many, which lie as far apart as fibers do.
void look_floor(benchmark::State& state) {
  struct alignas(64) Block {
    std::array<std::uint64_t, 16> read;
    std::array<std::uint64_t, 48> others;
  };
  const std::vector<Block> blocks(kFibers, Block{{1}, {2}});
  for (auto unused : state) {
    std::uint64_t sum = 0;
    for (const Block& block : blocks) {
      for (const std::uint64_t word : block.read) sum += word;
    }
    benchmark::DoNotOptimize(sum);
  }
}
BENCHMARK(look_floor)->Name("look.100k/floor")->UseRealTime();

// --- look.pause: the longest that the looked-at scheduler did not run, in ms ---------------------------------------------------

void look_pause(benchmark::State& state) {
  for (auto unused : state) {
    Parked parked(/*runs=*/true);
    for (int i = 0; i < 20; ++i) benchmark::DoNotOptimize(look(parked.scheduler()));
    state.SetIterationTime(std::chrono::duration<double>(parked.longest_pause()).count());
  }
}
BENCHMARK(look_pause)->Name("look.pause/ours")->UseManualTime()->Iterations(1);

}  // namespace
