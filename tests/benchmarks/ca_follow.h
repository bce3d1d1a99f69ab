#pragma once

// For both sides of the row ca.monitor: whether the updates of all counters come without a gap, and what they cost.
//
// Each counter counts up by one, a hundred times a second. note() is called with every update by one thread at a time. measure() gives the nanoseconds
// of processor time of the process for an update. It begins half a second after all counters have been heard of, because an IOC that is busy with the
// connection of a thousand subscriptions may leave updates out.

#include <time.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "tests/benchmarks/ca_names.h"

class Following {
 public:
  void note(std::size_t index, double value) noexcept {
    double& last = last_[index];
    if (last < 0) {
      heard_.store(heard_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    } else if (value != last + 1 && is_measuring_.load(std::memory_order_relaxed)) {
      std::fprintf(stderr, "counter %zu went from %g to %g: an update is missing\n", index, last, value);
      std::_Exit(EXIT_FAILURE);
    }
    last = value;
    updates_.store(updates_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  // Waits by `sleep`, with what there is of that in the caller's world.
  template <typename F>
  double measure(F sleep) {
    for (int attempt = 0; heard_.load(std::memory_order_relaxed) < kVariables; ++attempt) {
      if (attempt > 1000) fail("not all counters are heard of");
      sleep(std::chrono::milliseconds(10));
    }
    sleep(kSettling);
    is_measuring_.store(true, std::memory_order_relaxed);
    const std::int64_t updates_before = updates_.load(std::memory_order_relaxed);
    const double used_before = used();
    sleep(kFollowed);
    const auto updates = static_cast<double>(updates_.load(std::memory_order_relaxed) - updates_before);
    const double used_since = used() - used_before;
    if (updates < 0.9 * kVariables * kRate * static_cast<double>(kFollowed.count())) fail("fewer updates came than the counters had");
    return used_since / updates;
  }

 private:
  [[noreturn]] static void fail(const char* text) {
    std::fprintf(stderr, "%s\n", text);
    std::_Exit(EXIT_FAILURE);
  }
  static double used() noexcept {
    timespec time{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
  }

  std::array<double, kVariables> last_ = [] {
    std::array<double, kVariables> none{};
    none.fill(-1);
    return none;
  }();
  // Relaxed, all: figures. The last two are written by note() alone.
  std::atomic<bool> is_measuring_{false};
  std::atomic<int> heard_{0};
  std::atomic<std::int64_t> updates_{0};
};
