#pragma once

// A function given to then(), and what names it.

#include <atomic>
#include <cstdint>
#include <utility>

#include "absl/functional/any_invocable.h"

namespace mothreads::inline v0::internal {

class Context;
class SignalState;

// A function given to then(). Its ThenIds keep the memory, so that an old one finds out that the function is over. Guarded by the
// mutex of its state but for what says otherwise.
struct Callback {
  enum class Phase : std::uint8_t { waiting, running, over };

  Callback(absl::AnyInvocable<void()>&& function, SignalState& its_state) : run(std::move(function)), state(&its_state) {}

  void ref() noexcept { references.fetch_add(1, std::memory_order_relaxed); }
  void unref() noexcept {
    // acq_rel: the last owner's destruction comes after what the others did.
    if (references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  void set_over() noexcept {
    phase = Phase::over;
    state.store(nullptr, std::memory_order_relaxed);  // as find() reads it
  }

  absl::AnyInvocable<void()> run;  // not guarded: of whoever has taken it out of the list, or runs it
  Phase phase = Phase::waiting;
  Context* runner = nullptr;  // while it runs
  Callback* previous = nullptr;  // of one that an executor runs: the one in the list that posts it, a reference, as long as that may be there
  Callback* next = nullptr;
  SignalState* put_off_by = nullptr;  // constant: it is in no list of a state, but in an Aftermath, or an executor's; a reference while it is

  // Null once it is over. Another state's remove_then() may read it, too, which finds that it is none of its own.
  std::atomic<SignalState*> state;
  std::atomic<std::uint32_t> references{1};  // of the list, or of who runs it, and of ThenIds; not of the room in a state
};

// What a ThenId holds.
class CallbackId {
 public:
  CallbackId() = default;
  // Takes over a reference, where there is a callback.
  CallbackId(Callback* callback, std::uint64_t number) noexcept : callback_(callback), number_(number) {}
  CallbackId(const CallbackId& other) noexcept : callback_(other.callback_), number_(other.number_) {
    if (callback_ != nullptr) callback_->ref();
  }
  CallbackId(CallbackId&& other) noexcept : callback_(std::exchange(other.callback_, nullptr)), number_(std::exchange(other.number_, 0)) {}
  CallbackId& operator=(CallbackId other) noexcept {
    std::swap(callback_, other.callback_);
    std::swap(number_, other.number_);
    return *this;
  }
  ~CallbackId() {
    if (callback_ != nullptr) callback_->unref();
  }
  friend bool operator==(const CallbackId&, const CallbackId&) = default;

 private:
  friend class SignalState;
  Callback* callback_ = nullptr;
  std::uint64_t number_ = 0;  // of a function in the room of its state, which has no memory of its own: of no other in the process
};

}  // namespace mothreads::internal
