#pragma once

// What the copies of a Signal share. Its waiters, the combinations made of it and its then() functions hang on three
// intrusive lists under one small mutex.
//
// Ownership. A combination keeps its inputs, by a Relay in each input's list, which it takes out when it is dropped. Once
// somebody has given it a then() function it must work without any handle: then the ownership of every relay is turned
// round (keep_for_then) and the inputs keep the combination, until they go or are destroyed themselves. So there is never a
// cycle: a chain that nobody can make go any more is freed. A Till does the same with the timers.

#include <atomic>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "mothreads/contexts/tiny_mutex.h"
#include "mothreads/contexts/wait.h"
#include "mothreads/ended.h"

namespace mothreads::internal {

class SignalState;
class Combination;

// The place of a combination in the list of one of its inputs. Guarded by the input's mutex but for what says otherwise; where
// both are taken, the output's comes first.
struct Relay {
  Combination* output = nullptr;  // constant
  Relay* previous = nullptr;
  Relay* next = nullptr;
  bool linked = false;
  bool input_owns_output = false;

  // Guarded by the mutex of the output. An input that the output does not own takes itself out of here before it goes away.
  SignalState* input = nullptr;
  bool output_owns_input = true;
};

// A function given to then().
struct Callback {
  explicit Callback(absl::AnyInvocable<void()>&& function) : run(std::move(function)) {}

  absl::AnyInvocable<void()> run;
  std::uint64_t number = 0;
  Callback* next = nullptr;
};

// Room for something that is made later, or never destroyed.
template <typename T>
union Room {
  constexpr Room() : none{} {}
  template <typename... Args>
  constexpr explicit Room(std::in_place_t, Args... args) : value(args...) {}
  ~Room() {}
  char none;
  T value;
};

class SignalState {
 public:
  static constexpr std::uint32_t kGone = 1;
  static constexpr std::uint32_t kTimed = 2;  // went because a Till expired

  enum class Immortal : std::uint8_t { done, expired, never };

  static SignalState* make();
  static SignalState* make(std::string_view name);

  SignalState(const SignalState&) = delete;
  SignalState& operator=(const SignalState&) = delete;

  void ref() noexcept {
    // relaxed: a new reference is made from one that exists.
    if (!immortal_) references_.fetch_add(1, std::memory_order_relaxed);
  }
  void unref() noexcept {
    if (immortal_) return;
    // acquire and release pair the last owner's destruction with what the others did before. The only owner of a state that
    // no list can revive (ref_unless_dying) needs no locked instruction to find that it is alone.
    if ((!revivable_ && references_.load(std::memory_order_acquire) == 1) ||
        references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      destroy(this);
    }
  }
  // For lists that do not own: false when the state is being destroyed.
  bool ref_unless_dying() noexcept;

  // acquire pairs with the release in fire().
  bool is_gone() const noexcept { return (word_.load(std::memory_order_acquire) & kGone) != 0; }
  // How it counts as the limit of a wait.
  Why as_limit() const noexcept {
    return (word_.load(std::memory_order_acquire) & kTimed) != 0 ? Why::timed_out : Why::stopped;
  }

  bool go(std::uint32_t flags);

  // False when it has gone: then the node is not linked.
  bool link(WaitNode& node);
  void unlink(WaitNode& node) noexcept;

  std::uint64_t then(absl::AnyInvocable<void()> function);
  bool remove_then(std::uint64_t number);

  // Writes at most `size` bytes, terminated; allocates nothing.
  void write_name(char* buffer, std::size_t size) const { write_name(buffer, size, 0); }

  static constexpr std::size_t kMaxName = 100;  // longer names of combinations end in "..."

 protected:
  enum class Revivable : bool { no, yes };
  explicit SignalState(Revivable revivable) : revivable_(revivable == Revivable::yes) {}
  constexpr explicit SignalState(Immortal which)
      : word_(which == Immortal::never ? 0 : which == Immortal::done ? kGone : kGone | kTimed),
        name_(which == Immortal::never ? "NEVER" : "DONE"),
        immortal_(true),
        never_(which == Immortal::never) {}
  virtual ~SignalState();

  // Whoever destroys a state appends the states that it was the last to keep, through next_dying_, so that a chain of any
  // length is destroyed without recursion.
  struct Dying {
    SignalState* first = nullptr;
    void add_if_last(SignalState* state) noexcept;
  };
  virtual void release_sources(Dying& dying) noexcept;

  // `depth` counts combinations of combinations: the name of a long chain is cut.
  virtual void write_name(char* buffer, std::size_t size, int depth) const;

  // Makes what can make this state go keep it, from now on. Called once, without the mutex. What this state kept itself and
  // no longer does goes to `kept_before`, for the caller to let go.
  virtual void keep_for_then(std::vector<SignalState*>& kept_before) { static_cast<void>(kept_before); }

 private:
  friend class Combination;
  friend struct ConstantSignals;
  template <typename T>
  friend union Room;
  friend class TillState;

  // What one call of go() still has to do for a state that it made go.
  struct Fired {
    Callback* callback = nullptr;
    bool held = false;
  };

  static void destroy(SignalState* state) noexcept;

  // Turns true and releases the waiters; appends the relays to the combinations to look at next, each with a reference to
  // its output. False when it was true already. When there are functions or relays, `held` says that the state now has a
  // reference for its caller, who goes on using it: a waiter that has been released may drop all others.
  bool fire(std::uint32_t flags, Relay**& end, Fired& fired);
  // After it has fired: takes back what keep_for_then() left with those that could have made it go. Of these, the ones that
  // may have been kept for it alone are appended to `left`, with a reference.
  virtual void leave_sources(std::vector<SignalState*>& left) { static_cast<void>(left); }
  // Does the same when nobody can see this state any more: only those that could make it go keep it, and the caller.
  virtual void leave_if_unseen(std::vector<SignalState*>& left) { static_cast<void>(left); }
  static void leave_the_unseen(std::vector<SignalState*>& left);

  // What a combination does when one of its inputs went: true when it goes itself.
  virtual bool input_went() noexcept { return true; }

  void keep();
  bool is_of_no_use() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return turned_ && callbacks_ == nullptr && running_ == 0 && relays_ == nullptr;
  }
  void run_callbacks(Callback* first);
  Callback* start_next_callback(Context& me) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Callback* take_callback(std::uint64_t number) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool runs_elsewhere(std::uint64_t number) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void await_callback(std::uint64_t number);
  void discard(Callback* callback) noexcept;
  void run_one(absl::AnyInvocable<void()>& function) const noexcept;

  // For a combination under construction: 0, or the flags of a state that has gone already.
  std::uint32_t link_relay(Relay& relay);
  void unlink_relay(Relay& relay) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  std::atomic<std::uint32_t> word_{0};
  std::atomic<std::uint32_t> references_{1};
  mutable TinyMutex mutex_;
  std::atomic<const char*> name_{nullptr};  // owned, but those of the immortal
  const bool immortal_ = false;
  const bool never_ = false;
  const bool revivable_ = false;
  bool kept_ ABSL_GUARDED_BY(mutex_) = false;    // keep() has begun with it
  bool turned_ ABSL_GUARDED_BY(mutex_) = false;  // and is done: its sources own it, no longer it them
  std::uint64_t next_number_ ABSL_GUARDED_BY(mutex_) = 1;

  WaitList waiters_ ABSL_GUARDED_BY(mutex_);
  Relay* relays_ ABSL_GUARDED_BY(mutex_) = nullptr;  // circular
  Callback* callbacks_ ABSL_GUARDED_BY(mutex_) = nullptr;
  Callback* last_callback_ ABSL_GUARDED_BY(mutex_) = nullptr;

  // Most signals have one function at most: it needs no allocation of its own.
  std::atomic<bool> first_callback_taken_{false};
  Room<Callback> first_callback_;

  std::uint64_t running_ ABSL_GUARDED_BY(mutex_) = 0;  // the number of the function that runs
  Context* runner_ ABSL_GUARDED_BY(mutex_) = nullptr;
  WaitList removers_ ABSL_GUARDED_BY(mutex_);

  SignalState* next_fired_ = nullptr;  // during go(), and when destroyed
  Fired fired_;                        // during go()
};

// The states of DONE, of a Till that was due when it was made, and of NEVER.
struct ConstantSignals {
  static Room<SignalState> done;
  static Room<SignalState> expired;
  static Room<SignalState> never;
};

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
  void leave_sources(std::vector<SignalState*>& left) override;
  void leave_if_unseen(std::vector<SignalState*>& left) override;
  void keep_for_then(std::vector<SignalState*>& kept_before) override;
  bool input_went() noexcept override;

  const std::size_t inputs_;
  std::atomic<std::size_t> remaining_;
  const bool all_;
};

}  // namespace mothreads::internal
