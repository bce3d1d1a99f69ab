#pragma once

// What the storms of tests/stress are made of: random choices from a seed, what is counted, and a fixture.

#include <sched.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "mothreads/log.h"
#include "tests/support/nothing_left.h"

namespace mothreads::inline v0::testing {

// A number that says how long a storm is, or of which seed.
inline unsigned from_environment(const char* name, unsigned otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : static_cast<unsigned>(std::strtoul(text, nullptr, 10));
}

// A source of choices of its own for each thread and fiber: it is copied by seed, never shared. Small enough for the stack of a fiber.
class Chance {
 public:
  // The first number of a small seed is small.
  explicit Chance(unsigned seed) : engine_(seed) { engine_.discard(1); }

  unsigned below(unsigned limit) { return std::uniform_int_distribution<unsigned>(0, limit - 1)(engine_); }
  bool one_in(unsigned count) { return below(count) == 0; }
  unsigned seed() { return static_cast<unsigned>(engine_()); }

  // For a thread: lets others run, for a random, short while.
  void dawdle() {
    for (unsigned turns = below(8); turns > 0; --turns) sched_yield();
  }

 private:
  std::minstd_rand engine_;
};

// Counted as long as it lives: a function that has begun and not ended.
class Counted {
 public:
  explicit Counted(std::atomic<int>& count) : count_(count) { count_.fetch_add(1); }
  ~Counted() { count_.fetch_sub(1); }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

 private:
  std::atomic<int>& count_;
};

// A storm leaves nothing but failures, which are part of it: they are not logged, and may be unclaimed.
class Storm : public NothingLeft {
 protected:
  void SetUp() override {
    NothingLeft::SetUp();
    log::set_sink([](const log::Line& line) {
      if (line.level == log::Level::critical) std::fprintf(stderr, "%s\n", line.text.c_str());
    });
  }
  void TearDown() override {
    static_cast<void>(take_unclaimed_failures());
    log::set_sink({});
    NothingLeft::TearDown();
  }
};

}  // namespace mothreads::testing
