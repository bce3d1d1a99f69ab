// Lock against std::mutex and absl::Mutex.

#include <benchmark/benchmark.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

#include "absl/synchronization/mutex.h"
#include "mothreads/lock.h"
#include "tests/benchmarks/second_thread.h"

namespace {

void uncontended_ours(benchmark::State& state) {
  mothreads::Lock lock("benchmark");
  for (auto _ : state) {
    auto held = lock.enter();
    benchmark::DoNotOptimize(held);
  }
}
BENCHMARK(uncontended_ours)->Name("lock.uncontended/ours");

void uncontended_std(benchmark::State& state) {
  std::mutex mutex;
  for (auto _ : state) {
    std::lock_guard held(mutex);
    benchmark::DoNotOptimize(mutex);
  }
}
BENCHMARK(uncontended_std)->Name("lock.uncontended/std");

void uncontended_absl(benchmark::State& state) {
  absl::Mutex mutex;
  for (auto _ : state) {
    absl::MutexLock held(&mutex);
    benchmark::DoNotOptimize(mutex);
  }
}
BENCHMARK(uncontended_absl)->Name("lock.uncontended/absl");

// A section of about a microsecond.
void work() {
  const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(1);
  while (std::chrono::steady_clock::now() < end) {
  }
}

// Two threads, each inside as often as it can; the time for one section of either.
template <typename Enter>
void contended2(benchmark::State& state, Enter enter) {
  constexpr int kBatch = 2000;
  while (state.KeepRunningBatch(2 * kBatch)) {
    std::atomic<int> ready{0};
    const auto run = [&] {
      ++ready;
      while (ready < 2) {
      }
      for (int i = 0; i < kBatch; ++i) enter();
    };
    std::thread other(run);
    run();
    other.join();
  }
}

void contended2_ours(benchmark::State& state) {
  mothreads::Lock lock("benchmark");
  contended2(state, [&] {
    auto held = lock.enter();
    work();
  });
}
BENCHMARK(contended2_ours)->Name("lock.contended2/ours")->UseRealTime();

void contended2_std(benchmark::State& state) {
  std::mutex mutex;
  contended2(state, [&] {
    std::lock_guard held(mutex);
    work();
  });
}
BENCHMARK(contended2_std)->Name("lock.contended2/std")->UseRealTime();

}  // namespace
