#pragma once

// The states of a | b and a & b, which hang on the lists of their inputs: signal_state.h tells who owns whom.

#include <atomic>
#include <cstddef>
#include <span>

#include "absl/base/thread_annotations.h"
#include "mothreads/internal/signal_state.h"

namespace mothreads::inline v0::internal {

// "Any of" or "all of" some inputs.
class Combination final : public SignalState {
 public:
  static SignalState* any_of(std::span<SignalState* const> inputs) { return make(inputs, /*all=*/false); }
  static SignalState* all_of(std::span<SignalState* const> inputs) { return make(inputs, /*all=*/true); }

 private:
  friend class SignalState;

  static SignalState* make(std::span<SignalState* const> inputs, bool all);
  Combination(std::size_t inputs, bool all)
      : SignalState(Revivable::yes), inputs_(inputs), remaining_(all ? inputs : 1), all_(all) {}
  static void operator delete(void* memory) noexcept;

  Relay* relays() noexcept { return reinterpret_cast<Relay*>(this + 1); }
  const Relay* relays() const noexcept { return reinterpret_cast<const Relay*>(this + 1); }

  void write_name(char* buffer, std::size_t size, int depth) const override ABSL_NO_THREAD_SAFETY_ANALYSIS;
  void release_sources(Dying& dying) noexcept override;
  void leave_sources() noexcept override;
  void keep_no_more() noexcept override;
  void keep_for_then(Relay*& kept) noexcept override;
  bool input_went() noexcept override;

  const std::size_t inputs_;
  std::atomic<std::size_t> remaining_;
  const bool all_;
};

}  // namespace mothreads::internal
