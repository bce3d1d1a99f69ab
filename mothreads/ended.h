#pragma once

// Why a wait ended. Every wait of the library that can end in more than one way says which it was.

#include <cstdint>
#include <ostream>
#include <string_view>

namespace mothreads::inline v0 {

enum class Why : std::uint8_t {
  ready,      // what was waited for came
  closed,     // it can no longer come: the queue is closed (and, for pop, empty)
  timed_out,  // the duration or deadline passed, or a Till given as the limit expired
  stopped,    // the Signal given as the limit went
  full,       // there was no room, and the verb does not wait for any
};

std::string_view to_string(Why why);
std::ostream& operator<<(std::ostream& out, Why why);

class [[nodiscard]] Ended {
 public:
  constexpr explicit(false) Ended(Why why) : why_(why) {}

  constexpr Why why() const { return why_; }

  // True when what was waited for came.
  constexpr explicit operator bool() const { return why_ == Why::ready; }

  friend constexpr bool operator==(Ended, Ended) = default;

 private:
  Why why_;
};

}  // namespace mothreads
