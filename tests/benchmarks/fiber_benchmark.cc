// Fibers of one thread against Boost.Fiber and the bare switch; fiber_go.go has the same work for Go.

#include <benchmark/benchmark.h>
#include <ev.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/fiber/all.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "cooperative/event.h"
#include "cooperative/event_queue.h"
#include "cooperative/fiber.h"
#include "cooperative/internal/stack/stacks.h"
#include "cooperative/internal/stack/switch.h"
#include "cooperative/sleep.h"
#include "cooperative/timer.h"
#include "mothreads/signal.h"

namespace {

using namespace std::chrono_literals;

constexpr std::size_t kQueueLength = 1024;

struct Ours {
  template <typename F>
  static cooperative::Fiber<void> spawn(F&& function) {
    return cooperative::spawn("benchmark", std::forward<F>(function));
  }
  // As if the work called it itself.
  [[gnu::always_inline]] static void yield() { cooperative::yield(); }
  static constexpr bool kBeginsAtOnce = false;

  using Event = cooperative::Event<>;

  struct Queue {
    void push(std::int64_t value) {
      while (!queue.signal(value)) yield();
    }
    std::int64_t pop() { return queue.wait(); }
    cooperative::EventQueue<std::int64_t> queue{kQueueLength};
  };
};

// `post` is what the others do, too: a fiber begins when its maker waits. With `dispatch` it begins at once.
template <boost::fibers::launch launch, std::size_t stack_size = cooperative::internal::kDefaultStackSize>
struct Boost {
  template <typename F>
  static boost::fibers::fiber spawn(F&& function) {
    // Recycled; the pool grows by no more than the last number at a time, else a million would take half as much memory again.
    static boost::fibers::pooled_fixedsize_stack stacks(stack_size, 32, 1024);
    return boost::fibers::fiber(launch, std::allocator_arg, stacks, std::forward<F>(function));
  }
  [[gnu::always_inline]] static void yield() { boost::this_fiber::yield(); }
  static constexpr bool kBeginsAtOnce = launch == boost::fibers::launch::dispatch;

  // It has none of its own.
  class Event {
   public:
    void signal() {
      {
        const std::lock_guard lock(mutex_);
        is_set_ = true;
      }
      changed_.notify_one();
    }
    void wait() {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return is_set_; });
      is_set_ = false;
    }
    void wait(std::chrono::seconds limit) {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, limit, [&] { return is_set_; });
      is_set_ = false;
    }

   private:
    boost::fibers::mutex mutex_;
    boost::fibers::condition_variable changed_;
    bool is_set_ = false;
  };

  struct Queue {
    void push(std::int64_t value) { queue.push(value); }
    std::int64_t pop() { return queue.value_pop(); }
    boost::fibers::buffered_channel<std::int64_t> queue{kQueueLength};
  };
};

using Posted = Boost<boost::fibers::launch::post>;
using Dispatched = Boost<boost::fibers::launch::dispatch>;
// What a million of them can have.
using Small = Boost<boost::fibers::launch::post, 8 * 1024>;

// --- fiber.yield: per switch, among so many that do nothing else ---------------------------------------------------------

constexpr int kSwitches = 1'000'000;

template <typename P, int count>
void yield_all(benchmark::State& state) {
  while (state.KeepRunningBatch(kSwitches)) {
    std::vector<decltype(P::spawn([] {}))> fibers;
    for (int i = 0; i < count; ++i) {
      fibers.push_back(P::spawn([] {
        for (int lap = 0; lap < kSwitches / count; ++lap) P::yield();
      }));
    }
    for (auto& fiber : fibers) fiber.join();
  }
}

// The bare limit: each switches to its neighbour, on stacks of the same kind, but for the first, which has the thread's.
template <int count>
void ring(benchmark::State& state) {
  using namespace cooperative::internal;
  struct Place {
    void* stack_pointer = nullptr;
    Place* next = nullptr;
    Stack* stack = nullptr;
  };
  Stacks stacks;
  std::array<Place, count> places;
  places[0].next = &places[1];
  for (std::size_t i = 1; i < count; ++i) {
    Place& place = places[i];
    place.next = &places[(i + 1) % count];
    place.stack = &stacks.take(kDefaultStackSize, "benchmark");
    const auto pass_on = [](void* argument) {
      auto& here = *static_cast<Place*>(argument);
      while (true) switch_stack(&here.stack_pointer, here.next->stack_pointer);
    };
    place.stack_pointer = prepare_stack(place.stack->top, pass_on, &place);
  }
  Place& here = places[0];
  // The first lap touches the stacks for the first time.
  switch_stack(&here.stack_pointer, here.next->stack_pointer);
  while (state.KeepRunningBatch(kSwitches)) {
    for (int lap = 0; lap < kSwitches / count; ++lap) switch_stack(&here.stack_pointer, here.next->stack_pointer);
  }
  for (std::size_t i = 1; i < count; ++i) stacks.give_back(*places[i].stack);
}

BENCHMARK(yield_all<Ours, 2>)->Name("fiber.yield2/ours");
BENCHMARK(ring<2>)->Name("fiber.yield2/floor");
BENCHMARK(yield_all<Posted, 2>)->Name("fiber.yield2/boost");
BENCHMARK(yield_all<Ours, 1000>)->Name("fiber.yield1000/ours");
BENCHMARK(ring<1000>)->Name("fiber.yield1000/floor");
BENCHMARK(yield_all<Posted, 1000>)->Name("fiber.yield1000/boost");

// --- fiber.spawn_join, fiber.spawn_block_join ----------------------------------------------------------------------------

template <typename P>
void spawn_join(benchmark::State& state) {
  for (auto _ : state) P::spawn([] {}).join();
}
BENCHMARK(spawn_join<Ours>)->Name("fiber.spawn_join/ours");
BENCHMARK(spawn_join<Dispatched>)->Name("fiber.spawn_join/boost");

template <typename P>
void spawn_block_join(benchmark::State& state) {
  typename P::Event event;
  for (auto _ : state) {
    auto fiber = P::spawn([&] { event.wait(); });
    if (!P::kBeginsAtOnce) P::yield();
    event.signal();
    fiber.join();
  }
}
BENCHMARK(spawn_block_join<Ours>)->Name("fiber.spawn_block_join/ours");
BENCHMARK(spawn_block_join<Dispatched>)->Name("fiber.spawn_block_join/boost");

// --- fiber.event, fiber.timed_wait: ping-pong, per hand-off --------------------------------------------------------------

template <typename P, typename... Limit>
void ping_pong(benchmark::State& state, Limit... limit) {
  typename P::Event ping, pong;
  bool done = false;
  auto partner = P::spawn([&] {
    while (true) {
      ping.wait(limit...);
      if (done) break;
      pong.signal();
    }
  });
  P::yield();  // it waits now
  constexpr int kBatch = 1000;
  while (state.KeepRunningBatch(kBatch)) {
    for (int i = 0; i < kBatch / 2; ++i) {
      ping.signal();
      pong.wait(limit...);
    }
  }
  done = true;
  ping.signal();
  partner.join();
}

template <typename P>
void event(benchmark::State& state) {
  ping_pong<P>(state);
}
BENCHMARK(event<Ours>)->Name("fiber.event/ours");
BENCHMARK(event<Posted>)->Name("fiber.event/boost");

// Each wait has a limit that does not come.
template <typename P>
void timed_wait(benchmark::State& state) {
  ping_pong<P>(state, 1s);
}
BENCHMARK(timed_wait<Ours>)->Name("fiber.timed_wait/ours");
BENCHMARK(timed_wait<Posted>)->Name("fiber.timed_wait/boost");

// --- fiber.timers: a million pending at a time, added, and then cancelled in random order; per timer ------------------------

constexpr std::size_t kTimers = 1'000'000;

// Seconds from now, and the order of cancelling, the same for all.
struct Timing {
  Timing() {
    std::minstd_rand random(1);
    for (double& seconds : after) seconds = std::uniform_real_distribution<double>(10, 1000)(random);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::shuffle(order.begin(), order.end(), random);
  }
  std::vector<double> after = std::vector<double>(kTimers);
  std::vector<std::size_t> order = std::vector<std::size_t>(kTimers);
};

// As ev_timer and AfterFunc, a Timer calls a function at a time, unless it is cancelled before.
void timers(benchmark::State& state) {
  const Timing timing;
  std::vector<absl::Duration> after;
  for (const double seconds : timing.after) after.push_back(absl::Seconds(seconds));
  std::vector<std::optional<cooperative::Timer>> timers(kTimers);
  while (state.KeepRunningBatch(kTimers)) {
    for (std::size_t i = 0; i < kTimers; ++i) timers[i].emplace(after[i], [] {});
    for (const std::size_t i : timing.order) timers[i]->cancel();
  }
}
BENCHMARK(timers)->Name("fiber.timers/ours");

void timers_of_libev(benchmark::State& state) {
  const Timing timing;
  struct ev_loop* const loop = ev_loop_new(EVFLAG_AUTO);
  std::vector<ev_timer> timers(kTimers);
  while (state.KeepRunningBatch(kTimers)) {
    for (std::size_t i = 0; i < kTimers; ++i) {
      ev_timer_init(&timers[i], [](struct ev_loop*, ev_timer*, int) {}, timing.after[i], 0.);
      ev_timer_start(loop, &timers[i]);
    }
    for (const std::size_t i : timing.order) ev_timer_stop(loop, &timers[i]);
  }
  ev_loop_destroy(loop);
}
BENCHMARK(timers_of_libev)->Name("fiber.timers/libev");

// --- fiber.queue: per item -----------------------------------------------------------------------------------------------

template <typename P>
void queue(benchmark::State& state) {
  constexpr int kItems = 100'000;
  while (state.KeepRunningBatch(kItems)) {
    typename P::Queue queue;
    auto producer = P::spawn([&] {
      for (int i = 0; i < kItems; ++i) queue.push(i);
    });
    std::int64_t sum = 0;
    for (int i = 0; i < kItems; ++i) sum += queue.pop();
    producer.join();
    if (sum != std::int64_t{kItems} * (kItems - 1) / 2) state.SkipWithError("items were lost");
  }
}
BENCHMARK(queue<Ours>)->Name("fiber.queue/ours");
BENCHMARK(queue<Posted>)->Name("fiber.queue/boost");

// --- fiber.skynet: a tree of ten children each, with a million leaves, that sums their numbers ---------------------------

constexpr std::int64_t kLeaves = 1'000'000;

// Each begins its children in the way that is quicker for it: Boost's need twice the time when they begin at once.
struct OursAtOnce : Ours {
  template <typename F>
  static cooperative::Fiber<void> spawn(F&& function) {
    return cooperative::spawn({.name = "benchmark", .start = cooperative::Start::at_once}, std::forward<F>(function));
  }
};

template <typename P>
std::int64_t skynet(std::int64_t first, std::int64_t leaves) {
  if (leaves == 1) return first;
  constexpr int kChildren = 10;
  std::array<decltype(P::spawn([] {})), kChildren> children;
  std::array<std::int64_t, kChildren> results;
  leaves /= kChildren;
  for (std::size_t i = 0; i < kChildren; ++i) {
    children[i] = P::spawn([&result = results[i], first = first + static_cast<std::int64_t>(i) * leaves, leaves] {
      result = skynet<P>(first, leaves);
    });
  }
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < kChildren; ++i) {
    children[i].join();
    sum += results[i];
  }
  return sum;
}

template <typename P>
void run_skynet(benchmark::State& state) {
  if (skynet<P>(0, kLeaves) != kLeaves * (kLeaves - 1) / 2) state.SkipWithError("wrong sum");
}

template <typename P>
void skynet_time(benchmark::State& state) {
  run_skynet<P>(state);  // touches the memory for the first time
  for (auto _ : state) run_skynet<P>(state);
}
BENCHMARK(skynet_time<OursAtOnce>)->Name("fiber.skynet/ours")->Unit(benchmark::kMillisecond)->Iterations(3);
BENCHMARK(skynet_time<Small>)->Name("fiber.skynet/boost")->Unit(benchmark::kMillisecond)->Iterations(1);

// The peak of the whole process: of this benchmark only when it runs alone.
void skynet_mem(benchmark::State& state) {
  for (auto _ : state) run_skynet<OursAtOnce>(state);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  state.counters["MB"] = static_cast<double>(usage.ru_maxrss) / 1024;
}
BENCHMARK(skynet_mem)->Name("fiber.skynet_mem/ours")->Iterations(1);

// --- fiber.parked: resident bytes for each of a million that wait --------------------------------------------------------

double resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::int64_t size = 0, resident = 0;
  statm >> size >> resident;
  return static_cast<double>(resident * sysconf(_SC_PAGESIZE));
}

void parked(benchmark::State& state) {
  constexpr int kFibers = 1'000'000;
  cooperative::Event<> wake(cooperative::Reset::manual);
  for (auto _ : state) {
    const double before = resident_bytes();
    std::vector<cooperative::Fiber<void>> fibers;
    fibers.reserve(kFibers);
    for (int i = 0; i < kFibers; ++i) fibers.push_back(Ours::spawn([&] { wake.wait(); }));
    cooperative::yield();  // all wait now
    state.counters["B"] = (resident_bytes() - before) / kFibers;
    wake.signal();
    for (auto& fiber : fibers) fiber.join();
  }
}
BENCHMARK(parked)->Name("fiber.parked/ours")->Iterations(1);

// --- fiber.signal_both: round trips between a thread and a fiber, and between two threads --------------------------------

void round_trips(benchmark::State& state) {
  constexpr std::size_t kBatch = 2000;
  while (state.KeepRunningBatch(kBatch)) {
    state.PauseTiming();
    std::deque<mothreads::Signal> there(kBatch), back(kBatch);
    mothreads::Signal ready;
    std::thread partner([&] {
      ready.go();
      for (std::size_t i = 0; i < kBatch; ++i) {
        there[i].wait();
        back[i].go();
      }
    });
    ready.wait();
    state.ResumeTiming();
    for (std::size_t i = 0; i < kBatch; ++i) {
      there[i].go();
      back[i].wait();
    }
    state.PauseTiming();
    partner.join();
    there.clear();
    back.clear();
    state.ResumeTiming();
  }
}

void signal_both(benchmark::State& state) { cooperative::spawn("benchmark", round_trips, std::ref(state)).join(); }
BENCHMARK(signal_both)->Name("fiber.signal_both/ours")->UseRealTime();

// Must run alone: on a thread with a scheduler the waits would be those of its root.
BENCHMARK(round_trips)->Name("fiber.signal_both/thread")->UseRealTime();

}  // namespace
