// Blocking hand-over through bounded queues of 1,024 items.

#include <benchmark/benchmark.h>
#include <concurrentqueue/blockingconcurrentqueue.h>
#include <sys/resource.h>
#include <tbb/concurrent_queue.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "mothreads/queue.h"
#include "mothreads/thread.h"

namespace {

constexpr std::size_t kMax = 1024;

struct Ours {
  void push(std::int64_t value) { queue.add(std::move(value)); }
  std::int64_t pop() { return *queue.pop(); }
  mothreads::Queue<std::int64_t> queue{"benchmark", {.max = kMax, .silent = true}};
};

struct Tbb {
  Tbb() { queue.set_capacity(kMax); }
  void push(std::int64_t value) { queue.push(value); }
  std::int64_t pop() {
    std::int64_t value;
    queue.pop(value);
    return value;
  }
  tbb::concurrent_bounded_queue<std::int64_t> queue;
};

struct Std {
  void push(std::int64_t value) {
    std::unique_lock lock(mutex);
    not_full.wait(lock, [&] { return items.size() < kMax; });
    items.push_back(value);
    lock.unlock();
    not_empty.notify_one();
  }
  std::int64_t pop() {
    std::unique_lock lock(mutex);
    not_empty.wait(lock, [&] { return !items.empty(); });
    const std::int64_t value = items.front();
    items.pop_front();
    lock.unlock();
    not_full.notify_one();
    return value;
  }
  std::mutex mutex;
  std::condition_variable not_full, not_empty;
  std::deque<std::int64_t> items;
};

// Unbounded, and it promises no order between producers; reported for the scale.
struct Moodycamel {
  void push(std::int64_t value) { queue.enqueue(value); }
  std::int64_t pop() {
    std::int64_t value;
    queue.wait_dequeue(value);
    return value;
  }
  moodycamel::BlockingConcurrentQueue<std::int64_t> queue{kMax};
};

// `threads` producers and as many consumers; the time for one item.
template <typename Q, int threads>
void hand_over(benchmark::State& state) {
  constexpr int kEach = 100'000;
  while (state.KeepRunningBatch(kEach * threads)) {
    Q queue;
    std::atomic<int> ready{0};
    std::atomic<std::int64_t> sum{0};
    std::vector<std::thread> all;
    const auto start = [&] {
      ++ready;
      while (ready < 2 * threads) std::this_thread::yield();
    };
    for (int t = 0; t < threads; ++t) {
      all.emplace_back([&] {
        start();
        for (int i = 0; i < kEach; ++i) queue.push(i);
      });
      all.emplace_back([&] {
        start();
        std::int64_t mine = 0;
        for (int i = 0; i < kEach; ++i) mine += queue.pop();
        sum += mine;
      });
    }
    for (std::thread& thread : all) thread.join();
    const std::int64_t expected = std::int64_t{threads} * kEach * (kEach - 1) / 2;
    if (sum != expected) state.SkipWithError("items were lost");
  }
}

BENCHMARK(hand_over<Ours, 1>)->Name("queue.spsc/ours")->UseRealTime();
BENCHMARK(hand_over<Tbb, 1>)->Name("queue.spsc/tbb")->UseRealTime();
BENCHMARK(hand_over<Std, 1>)->Name("queue.spsc/std")->UseRealTime();
BENCHMARK(hand_over<Moodycamel, 1>)->Name("queue.spsc/moodycamel")->UseRealTime();
BENCHMARK(hand_over<Ours, 2>)->Name("queue.mpmc/ours")->UseRealTime();
BENCHMARK(hand_over<Tbb, 2>)->Name("queue.mpmc/tbb")->UseRealTime();
BENCHMARK(hand_over<Std, 2>)->Name("queue.mpmc/std")->UseRealTime();
BENCHMARK(hand_over<Moodycamel, 2>)->Name("queue.mpmc/moodycamel")->UseRealTime();

// The processor time that eight idle consumers cost the process in two seconds, in milliseconds of "manual time".
void idle(benchmark::State& state) {
  const auto used = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6; };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
  };
  for (auto _ : state) {
    mothreads::Queue<int> queue("idle");
    std::vector<mothreads::ThreadHandle<void>> consumers;
    for (int i = 0; i < 8; ++i) {
      consumers.push_back(mothreads::Thread::run("consumer", [&](mothreads::Signal please_stop) {
        while (queue.pop(please_stop)) {
        }
      }));
    }
    const double before = used();
    std::this_thread::sleep_for(std::chrono::seconds(2));
    state.SetIterationTime(used() - before);
    queue.close();
    mothreads::join_all(consumers);
  }
}
BENCHMARK(idle)->Name("queue.idle/ours")->UseManualTime()->Iterations(1);

}  // namespace
