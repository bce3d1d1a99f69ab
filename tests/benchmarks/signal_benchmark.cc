// Signals against std::stop_token and absl::Notification. Rows are named in tools/lib/bench.py.

#include <benchmark/benchmark.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/notification.h"
#include "mothreads/signal.h"
#include "tests/benchmarks/second_thread.h"

namespace {

using mothreads::Signal;
using Clock = std::chrono::steady_clock;

// --- signal.test ---------------------------------------------------------------------------------------------------------

// Several in a row, without a loop between them: one alone takes no longer than a turn of the loop.
constexpr std::size_t kTests = 32;

template <typename F>
void in_a_row(F&& test) {
  [&]<std::size_t... i>(std::index_sequence<i...>) { ((static_cast<void>(i), test()), ...); }(std::make_index_sequence<kTests>());
}

void test_ours(benchmark::State& state) {
  Signal signal;
  while (state.KeepRunningBatch(kTests)) {
    in_a_row([&] {
      benchmark::DoNotOptimize(signal);
      benchmark::DoNotOptimize(static_cast<bool>(signal));
    });
  }
}
BENCHMARK(test_ours)->Name("signal.test/ours");

void test_std(benchmark::State& state) {
  std::stop_source source;
  std::stop_token token = source.get_token();
  while (state.KeepRunningBatch(kTests)) {
    in_a_row([&] {
      benchmark::DoNotOptimize(token);
      benchmark::DoNotOptimize(token.stop_requested());
    });
  }
}
BENCHMARK(test_std)->Name("signal.test/std");

// --- signal.go_then ------------------------------------------------------------------------------------------------------

void go_then_ours(benchmark::State& state) {
  int count = 0;
  for (auto _ : state) {
    Signal signal;
    signal.then([&count] { ++count; });
    signal.go();
  }
  benchmark::DoNotOptimize(count);
}
BENCHMARK(go_then_ours)->Name("signal.go_then/ours");

void go_then_std(benchmark::State& state) {
  int count = 0;
  for (auto _ : state) {
    std::stop_source source;
    std::stop_callback callback(source.get_token(), [&count] { ++count; });
    source.request_stop();
  }
  benchmark::DoNotOptimize(count);
}
BENCHMARK(go_then_std)->Name("signal.go_then/std");

// --- signal.wake: round trips between two threads ------------------------------------------------------------------------

template <typename Event>
void ping_pong(benchmark::State& state, void (*go)(Event&), void (*wait)(Event&)) {
  constexpr int kBatch = 2000;
  while (state.KeepRunningBatch(kBatch)) {
    state.PauseTiming();
    std::deque<Event> there(kBatch), back(kBatch);
    std::atomic<bool> ready{false};
    std::thread partner([&] {
      ready = true;
      for (int i = 0; i < kBatch; ++i) {
        wait(there[static_cast<std::size_t>(i)]);
        go(back[static_cast<std::size_t>(i)]);
      }
    });
    while (!ready) std::this_thread::yield();
    state.ResumeTiming();
    for (std::size_t i = 0; i < kBatch; ++i) {
      go(there[i]);
      wait(back[i]);
    }
    state.PauseTiming();
    partner.join();
    there.clear();
    back.clear();
    state.ResumeTiming();
  }
}

void wake_ours(benchmark::State& state) {
  ping_pong<Signal>(state, [](Signal& s) { s.go(); }, [](Signal& s) { s.wait(); });
}
BENCHMARK(wake_ours)->Name("signal.wake/ours")->UseRealTime();

void wake_absl(benchmark::State& state) {
  ping_pong<absl::Notification>(state, [](absl::Notification& n) { n.Notify(); },
                                [](absl::Notification& n) { n.WaitForNotification(); });
}
BENCHMARK(wake_absl)->Name("signal.wake/absl")->UseRealTime();

// --- signal.wake_cold: from go to the waiter that has slept for 10 ms ----------------------------------------------------

template <typename Event>
void wake_cold(benchmark::State& state, void (*go)(Event&), void (*wait)(Event&)) {
  for (auto _ : state) {
    Event event;
    Clock::time_point woken;
    std::thread waiter([&] {
      wait(event);
      woken = Clock::now();
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    const Clock::time_point start = Clock::now();
    go(event);
    waiter.join();
    state.SetIterationTime(std::chrono::duration<double>(woken - start).count());
  }
}

void wake_cold_ours(benchmark::State& state) {
  wake_cold<Signal>(state, [](Signal& s) { s.go(); }, [](Signal& s) { s.wait(); });
}
BENCHMARK(wake_cold_ours)->Name("signal.wake_cold/ours")->UseManualTime()->Iterations(60);

void wake_cold_absl(benchmark::State& state) {
  wake_cold<absl::Notification>(state, [](absl::Notification& n) { n.Notify(); },
                                [](absl::Notification& n) { n.WaitForNotification(); });
}
BENCHMARK(wake_cold_absl)->Name("signal.wake_cold/absl")->UseManualTime()->Iterations(60);

// --- signal.or_drop: with 10,000 others attached, and with one -----------------------------------------------------------

void or_drop(benchmark::State& state, int others) {
  Signal a, b;
  std::vector<Signal> attached;
  for (int i = 0; i < others; ++i) attached.push_back(a | b);
  for (auto _ : state) {
    Signal either = a | b;
    benchmark::DoNotOptimize(either);
  }
}
BENCHMARK_CAPTURE(or_drop, many, 10'000)->Name("signal.or_drop/ours");
BENCHMARK_CAPTURE(or_drop, one, 1)->Name("signal.or_drop/one");

}  // namespace
