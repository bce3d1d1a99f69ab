#pragma once

// Whether a verb has handed something over: signal() of a queue, callback() of a scheduler. It may be ignored, which Ended may not.
// What was refused is still the caller's, untouched.

#include <cstdint>

#include "mothreads/ended.h"

namespace mothreads::inline v0 {

// The option of a queue with a bound: what it does with one more value when it is full.
enum class WhenFull : std::uint8_t {
  block,        // the poster waits for room; a fiber lets others run meanwhile
  refuse,       // the poster is told at once: `full`
  drop_oldest,  // the first in the queue goes, and is counted
};

class Posted {
 public:
  constexpr explicit(false) Posted(Why why) : why_(why) {}

  constexpr Why why() const { return why_; }  // ready, closed or full; timed_out or stopped where the verb has a limit

  // True when it was handed over.
  constexpr explicit operator bool() const { return why_ == Why::ready; }

  friend constexpr bool operator==(Posted, Posted) = default;

 private:
  Why why_;
};

}  // namespace mothreads
