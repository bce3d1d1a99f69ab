#pragma once

// The Signals of an Until: borrowed from the caller, or owned where the caller gave a temporary.

#include <cstddef>
#include <cstdint>

#include "absl/container/inlined_vector.h"
#include "mothreads/internal/signal_state.h"

namespace mothreads::inline v0::internal {

struct OwnedSignal {
  SignalState& state;
};

// One of them, with a mark in the lowest bit of its address when it is owned.
class LimitSignal {
 public:
  explicit LimitSignal(SignalState& state) noexcept : word_(reinterpret_cast<std::uintptr_t>(&state)) {}
  explicit LimitSignal(OwnedSignal signal) noexcept : word_(reinterpret_cast<std::uintptr_t>(&signal.state) | kOwned) {
    signal.state.ref();
  }
  LimitSignal(const LimitSignal& other) noexcept : word_(other.word_) {
    if (is_owned()) state().ref();
  }
  LimitSignal& operator=(const LimitSignal&) = delete;
  ~LimitSignal() {
    if (is_owned()) state().unref();
  }

  SignalState& state() const noexcept { return *reinterpret_cast<SignalState*>(word_ & ~kOwned); }

 private:
  static constexpr std::uintptr_t kOwned = 1;
  static_assert(alignof(SignalState) > kOwned);
  bool is_owned() const noexcept { return (word_ & kOwned) != 0; }

  std::uintptr_t word_;
};

inline constexpr std::size_t kLimitSignalsWithoutAllocation = 3;
using LimitSignals = absl::InlinedVector<LimitSignal, kLimitSignalsWithoutAllocation>;

}  // namespace mothreads::internal
