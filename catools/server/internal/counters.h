#pragma once

// The counts of a server. Any thread reads; relaxed, since no other memory follows from a number.

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace catools::inline v0::internal {

class Counter {
 public:
  void add(std::uint64_t more = 1) { number_.fetch_add(more, std::memory_order_relaxed); }
  void take(std::uint64_t less = 1) { number_.fetch_sub(less, std::memory_order_relaxed); }
  std::uint64_t value() const { return number_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> number_{0};
};

struct Counters {
  Counter circuits, channels, monitors;  // now
  Counter updates, dropped;              // sent to monitors; lost because a queue was full
  Counter puts, refused;                 // all puts; those that were refused
  Counter malformed;                     // circuits that were ended for what they sent
};

}  // namespace catools::inline v0::internal
