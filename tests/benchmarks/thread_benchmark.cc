// Starting, stopping and joining threads against std::jthread.

#include <benchmark/benchmark.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <latch>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

#include "mothreads/foreign_thread.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "mothreads/thread_group.h"

namespace {

using Clock = std::chrono::steady_clock;

void run_join_ours(benchmark::State& state) {
  for (auto _ : state) mothreads::Thread::run("worker", [](mothreads::Signal) {}).join();
}
BENCHMARK(run_join_ours)->Name("thread.run_join/ours")->UseRealTime();

void run_join_std(benchmark::State& state) {
  for (auto _ : state) std::jthread([](std::stop_token) {}).join();
}
BENCHMARK(run_join_std)->Name("thread.run_join/std")->UseRealTime();

// --- foreign.entry: a thread of another library enters and leaves -------------------------------------------------------------

void foreign_entry_ours(benchmark::State& state) {
  std::thread([&] {
    for (auto _ : state) {
      const mothreads::ForeignThread here("camera driver");
      benchmark::DoNotOptimize(here);
    }
  }).join();
}
BENCHMARK(foreign_entry_ours)->Name("foreign.entry/ours")->UseRealTime();

void foreign_entry_std(benchmark::State& state) {
  std::thread([&] {
    std::mutex mutex;
    for (auto _ : state) {
      const std::lock_guard held(mutex);
      benchmark::DoNotOptimize(mutex);
    }
  }).join();
}
BENCHMARK(foreign_entry_std)->Name("foreign.entry/std")->UseRealTime();

// --- shutdown.tree: stop and join 1,000 threads --------------------------------------------------------------------------

// Three levels: 10 threads, 9 under each, 10 under each of those: 10 + 90 + 900.
void tree(int level, std::latch& started, const mothreads::Signal& please_stop) {
  constexpr int kChildren[] = {10, 9, 10};
  mothreads::ThreadGroup children("children");
  if (level < 3) {
    for (int i = 0; i < kChildren[level]; ++i) {
      children.run("member", [level, &started](mothreads::Signal stop) { tree(level + 1, started, stop); });
    }
  }
  if (level > 0) started.count_down();
  please_stop.wait();
}

void shutdown_ours(benchmark::State& state) {
  for (auto _ : state) {
    std::latch started(1000);
    auto root = mothreads::Thread::run("root", [&](mothreads::Signal please_stop) { tree(0, started, please_stop); });
    started.wait();
    const auto start = Clock::now();
    root.stop().join();
    state.SetIterationTime(std::chrono::duration<double>(Clock::now() - start).count());
  }
}
BENCHMARK(shutdown_ours)->Name("shutdown.tree/ours")->UseManualTime();

void shutdown_std(benchmark::State& state) {
  for (auto _ : state) {
    std::latch started(1000);
    std::vector<std::jthread> threads;
    for (int i = 0; i < 1000; ++i) {
      threads.emplace_back([&started](std::stop_token stop) {
        std::mutex mutex;
        std::condition_variable_any stopped;
        std::unique_lock lock(mutex);
        started.count_down();
        stopped.wait(lock, stop, [] { return false; });
      });
    }
    started.wait();
    const auto start = Clock::now();
    for (std::jthread& thread : threads) thread.request_stop();
    threads.clear();
    state.SetIterationTime(std::chrono::duration<double>(Clock::now() - start).count());
  }
}
BENCHMARK(shutdown_std)->Name("shutdown.tree/std")->UseManualTime();

}  // namespace
