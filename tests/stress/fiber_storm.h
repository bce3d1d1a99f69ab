#pragma once

// What the storms of fibers share. The environment says how long:
//
//     FIBER_STRESS_SECONDS   for each test; default 1
//     FIBER_STRESS_SEED      the seed of the first round, to repeat a failure; default 1
//
// Nothing may be reported by a sanitizer, hang, be lost, or be left over. What a round counts must come out even.

#include <chrono>
#include <cstdio>
#include <string>

#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/sleep.h"
#include "mothreads/till.h"
#include "tests/support/storm.h"

namespace cooperative::inline v0 {

class Chance : public mothreads::testing::Chance {
 public:
  using mothreads::testing::Chance::Chance;

  absl::Duration moment() { return absl::Microseconds(below(300)); }

  // For a fiber: lets others run, in one of several ways.
  void rest() {
    switch (below(6)) {
      case 0:
        sleep(moment());
        return;
      case 1:
        yield_until_idle(moment());
        return;
      case 2:
        return static_cast<void>(mothreads::Till(moment()).wait());
      default:
        for (unsigned turns = below(4); turns > 0; --turns) yield();
    }
  }
};

class FiberStressTest : public mothreads::testing::Storm {
 protected:
  // Rounds, one after another, until the time is over.
  template <typename F>
  void repeat(F&& round) {
    using mothreads::testing::from_environment;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(from_environment("FIBER_STRESS_SECONDS", 1));
    unsigned seed = from_environment("FIBER_STRESS_SEED", 1);
    unsigned rounds = 0;
    do {
      SCOPED_TRACE("FIBER_STRESS_SEED=" + std::to_string(seed));
      round(Chance(seed++));
      ++rounds;
    } while (std::chrono::steady_clock::now() < end && !HasFailure());
    RecordProperty("rounds", static_cast<int>(rounds));
    std::printf("%u rounds\n", rounds);
  }
};

}  // namespace cooperative
