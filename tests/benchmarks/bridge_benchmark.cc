// What other threads ask a scheduler to call, against libuv and a deque with a condition variable; and how soon it is called, against
// a bare eventfd.

#include <benchmark/benchmark.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <uv.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "cooperative/event.h"
#include "cooperative/scheduler.h"
#include "mothreads/executor.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using Callable = absl::AnyInvocable<void()>;

// --- bridge.post: callables from other threads, per item --------------------------------------------------------------------

constexpr std::int64_t kItems = 300'000;

class Ours {
 public:
  template <typename F>
  void post(F&& function) {
    scheduler_.callback(std::forward<F>(function));
  }
  void run() { ended_.wait(); }
  void end() { ended_.signal(); }  // by what was posted

 private:
  const cooperative::Scheduler scheduler_ = cooperative::Scheduler::current();
  cooperative::Event<> ended_;
};

class Libuv {
 public:
  Libuv() {
    uv_loop_init(&loop_);
    uv_async_init(&loop_, &async_, [](uv_async_t* async) { static_cast<Libuv*>(async->data)->call_all(); });
    async_.data = this;
  }
  ~Libuv() {
    uv_close(reinterpret_cast<uv_handle_t*>(&async_), nullptr);
    uv_run(&loop_, UV_RUN_DEFAULT);
    uv_loop_close(&loop_);
  }
  template <typename F>
  void post(F&& function) {
    {
      const std::lock_guard lock(mutex_);
      posted_.emplace_back(std::forward<F>(function));
    }
    uv_async_send(&async_);
  }
  void run() { uv_run(&loop_, UV_RUN_DEFAULT); }
  void end() { uv_stop(&loop_); }

 private:
  void call_all() {
    {
      const std::lock_guard lock(mutex_);
      taken_.swap(posted_);
    }
    for (Callable& function : taken_) function();
    taken_.clear();
  }

  uv_loop_t loop_;
  uv_async_t async_;
  std::mutex mutex_;
  std::vector<Callable> posted_;
  std::vector<Callable> taken_;
};

class Std {
 public:
  template <typename F>
  void post(F&& function) {
    {
      const std::lock_guard lock(mutex_);
      posted_.emplace_back(std::forward<F>(function));
    }
    changed_.notify_one();
  }
  void run() {
    for (ended_ = false; !ended_;) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] { return !posted_.empty(); });
      Callable function = std::move(posted_.front());
      posted_.pop_front();
      lock.unlock();
      function();
    }
  }
  void end() { ended_ = true; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Callable> posted_;
  bool ended_ = false;
};

template <typename P, int kProducers>
void post(benchmark::State& state) {
  P receiver;
  while (state.KeepRunningBatch(kItems)) {
    std::int64_t left = kItems;
    std::vector<std::jthread> producers;
    for (int i = 0; i < kProducers; ++i) {
      producers.emplace_back([&] {
        for (std::int64_t item = 0; item < kItems / kProducers; ++item) {
          receiver.post([&left, &receiver] {
            if (--left == 0) receiver.end();
          });
        }
      });
    }
    receiver.run();
  }
}
BENCHMARK(post<Ours, 1>)->Name("bridge.post1/ours")->UseRealTime();
BENCHMARK(post<Libuv, 1>)->Name("bridge.post1/libuv")->UseRealTime();
BENCHMARK(post<Std, 1>)->Name("bridge.post1/std")->UseRealTime();
BENCHMARK(post<Ours, 3>)->Name("bridge.post3/ours")->UseRealTime();
BENCHMARK(post<Libuv, 3>)->Name("bridge.post3/libuv")->UseRealTime();
BENCHMARK(post<Std, 3>)->Name("bridge.post3/std")->UseRealTime();

// --- bridge.latency: from the post until it runs, to who has been idle for so long -----------------------------------------

// A thread that does nothing but run its scheduler.
class Host {
 public:
  Host()
      : thread_(mothreads::Thread::run("host", [this](mothreads::Signal please_stop) {
          scheduler_.emplace(cooperative::Scheduler::current());
          ready_.go();
          please_stop.wait();
        })) {
    ready_.wait();
  }
  const cooperative::Scheduler& scheduler() const { return *scheduler_; }

  // Whatever wakes it calls `arrive`.
  template <typename F>
  void wake(F&& arrive) {
    scheduler_->callback(std::forward<F>(arrive));
  }

 private:
  std::optional<cooperative::Scheduler> scheduler_;
  mothreads::Signal ready_;
  mothreads::ThreadHandle<void> thread_;
};

class Eventfd {
 public:
  ~Eventfd() {
    wake({});
    thread_.join();
    close(descriptor_);
  }
  void wake(Callable arrive) {
    arrive_ = std::move(arrive);
    const std::uint64_t one = 1;
    if (write(descriptor_, &one, sizeof one) != sizeof one) std::abort();
  }

 private:
  void run() {
    for (std::uint64_t count = 0; read(descriptor_, &count, sizeof count) == sizeof count && arrive_;) arrive_();
  }

  const int descriptor_ = eventfd(0, 0);
  Callable arrive_;  // before the write, and read after it
  std::jthread thread_{[this] { run(); }};
};

template <typename T>
double median(std::vector<T>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return static_cast<double>(*middle);
}

// The poster itself stays awake.
void stay_awake(Clock::duration duration) {
  for (const auto end = Clock::now() + duration; Clock::now() < end;) {
  }
}

// The median: a processor of a virtual machine that is asleep takes 10 µs to wake, or 300.
template <typename P, bool is_cold>
void latency(benchmark::State& state) {
  P receiver;
  std::atomic<Clock::rep> arrived{0};
  std::vector<double> nanoseconds;
  for (auto _ : state) {
    if constexpr (is_cold) {
      std::this_thread::sleep_for(10ms);
    } else {
      stay_awake(10us);
    }
    arrived.store(0, std::memory_order_relaxed);
    const auto start = Clock::now();
    receiver.wake([&arrived] { arrived.store(Clock::now().time_since_epoch().count(), std::memory_order_release); });
    while (arrived.load(std::memory_order_acquire) == 0) {
    }
    nanoseconds.push_back(std::chrono::duration<double, std::nano>(Clock::duration(arrived) - start.time_since_epoch()).count());
  }
  state.counters["ns"] = median(nanoseconds);
}
BENCHMARK(latency<Host, true>)->Name("bridge.latency_cold/ours")->Iterations(100);
BENCHMARK(latency<Eventfd, true>)->Name("bridge.latency_cold/eventfd")->Iterations(100);
BENCHMARK(latency<Host, false>)->Name("bridge.latency_warm/ours")->Iterations(5000);
BENCHMARK(latency<Eventfd, false>)->Name("bridge.latency_warm/eventfd")->Iterations(5000);

// --- then.executor: from go() until a function that a Signal has on an Executor runs, and from a post --------------------------

template <bool is_signal>
void then_executor(benchmark::State& state) {
  Host host;
  const mothreads::Executor executor = host.scheduler();
  std::atomic<Clock::rep> arrived{0};
  const auto arrive = [&arrived] { arrived.store(Clock::now().time_since_epoch().count(), std::memory_order_release); };
  std::vector<double> nanoseconds;
  for (auto _ : state) {
    const mothreads::Signal signal;
    if (is_signal) signal.then(executor, arrive);
    stay_awake(10us);
    arrived.store(0, std::memory_order_relaxed);
    const auto start = Clock::now();
    if (is_signal) {
      signal.go();
    } else {
      host.scheduler().callback(arrive);
    }
    while (arrived.load(std::memory_order_acquire) == 0) {
    }
    nanoseconds.push_back(std::chrono::duration<double, std::nano>(Clock::duration(arrived) - start.time_since_epoch()).count());
  }
  state.counters["ns"] = median(nanoseconds);
}
BENCHMARK(then_executor<true>)->Name("then.executor/ours")->Iterations(5000);
BENCHMARK(then_executor<false>)->Name("then.executor/post")->Iterations(5000);

// --- bridge.wakes: system calls that wake a scheduler asleep, for a burst of a thousand posts -------------------------------

void wakes(benchmark::State& state) {
  Host host;
  std::vector<std::uint64_t> of_bursts;
  std::uint64_t before = 0;
  for (auto _ : state) {
    std::this_thread::sleep_for(1ms);  // it does not spin that long
    std::atomic<bool> ended{false};
    for (int i = 0; i < 999; ++i) host.wake([] {});
    host.wake([&] {
      const std::uint64_t now = cooperative::Scheduler::current().statistics().wakes;
      of_bursts.push_back(now - std::exchange(before, now));
      ended.store(true, std::memory_order_release);
    });
    while (!ended.load(std::memory_order_acquire)) {
    }
  }
  // Where the poster lost its processor meanwhile, there were two bursts.
  state.counters["wakes"] = median(of_bursts);
}
BENCHMARK(wakes)->Name("bridge.wakes/ours")->Iterations(101);

}  // namespace
