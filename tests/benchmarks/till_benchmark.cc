// Tills against libuv's timers, with 100,000 others pending.

#include <benchmark/benchmark.h>
#include <uv.h>

#include <cstdint>
#include <deque>
#include <random>
#include <vector>

#include "absl/time/time.h"
#include "mothreads/till.h"
#include "tests/benchmarks/second_thread.h"

namespace {

constexpr int kPending = 100'000;

// The same times for both: from one to a thousand seconds.
std::vector<std::int64_t> milliseconds(int count, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<std::int64_t> some(1'000, 1'000'000);
  std::vector<std::int64_t> times;
  for (int i = 0; i < count; ++i) times.push_back(some(random));
  return times;
}

void cycle_ours(benchmark::State& state) {
  std::vector<mothreads::Till> pending;
  for (const std::int64_t time : milliseconds(kPending, 1)) pending.emplace_back(absl::Milliseconds(time));
  const std::vector<std::int64_t> times = milliseconds(1024, 2);
  std::size_t i = 0;
  for (auto _ : state) {
    mothreads::Till till(absl::Milliseconds(times[++i % times.size()]));
    benchmark::DoNotOptimize(till);
  }
}
BENCHMARK(cycle_ours)->Name("till.cycle/ours");

void cycle_libuv(benchmark::State& state) {
  uv_loop_t loop;
  uv_loop_init(&loop);
  std::deque<uv_timer_t> pending;
  for (const std::int64_t time : milliseconds(kPending, 1)) {
    uv_timer_init(&loop, &pending.emplace_back());
    uv_timer_start(&pending.back(), [](uv_timer_t*) {}, static_cast<std::uint64_t>(time), 0);
  }
  const std::vector<std::int64_t> times = milliseconds(1024, 2);
  std::size_t i = 0;
  uv_timer_t timer;
  uv_timer_init(&loop, &timer);
  for (auto _ : state) {
    uv_timer_start(&timer, [](uv_timer_t*) {}, static_cast<std::uint64_t>(times[++i % times.size()]), 0);
    uv_timer_stop(&timer);
  }
  for (uv_timer_t& one : pending) uv_timer_stop(&one);
  for (uv_timer_t& one : pending) uv_close(reinterpret_cast<uv_handle_t*>(&one), nullptr);
  uv_close(reinterpret_cast<uv_handle_t*>(&timer), nullptr);
  uv_run(&loop, UV_RUN_DEFAULT);
  uv_loop_close(&loop);
}
BENCHMARK(cycle_libuv)->Name("till.cycle/libuv");

}  // namespace
