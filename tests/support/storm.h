#pragma once

// What the storms of tests/stress are made of: random choices from a seed, and what is counted.

#include <sched.h>

#include <atomic>
#include <cstdlib>
#include <random>

namespace mothreads::testing {

// A number that says how long a storm is, or of which seed.
inline unsigned from_environment(const char* name, unsigned otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : static_cast<unsigned>(std::strtoul(text, nullptr, 10));
}

// A source of choices of its own for each thread and fiber: it is copied by seed, never shared. Small enough for the stack of a fiber.
class Chance {
 public:
  explicit Chance(unsigned seed) : engine_(seed) {}

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

}  // namespace mothreads::testing
