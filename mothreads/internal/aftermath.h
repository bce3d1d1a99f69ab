#pragma once

// What then() functions set off while they run is done by a loop below them, not on top of them, so that no chain of Signals,
// however long, recurses:
//
//     a function lets another Signal go       the functions of that one run after it, in the order in which the Signals went
//     a function of then() that runs at once  one more then() on a Signal that has gone runs its own after it
//     the destruction of a function drops the last handle of another Signal     whose functions are destroyed after it
//
// The loop is that of the outermost go(), then() or destruction of the same context, which has an Aftermath on its stack. A
// context that waits inside a function does first what has been put off until then, because it may wait for just that.

#include "absl/functional/any_invocable.h"
#include "mothreads/internal/wait/context.h"

namespace mothreads::inline v0::internal {

class SignalState;
struct Callback;

class Aftermath {
 public:
  // That of the current context, or of a thread that has none; null outside of all functions.
  static Aftermath* here() noexcept;

  // For a context that has none. Its destructor does all that was put off.
  Aftermath() noexcept;
  ~Aftermath();
  Aftermath(const Aftermath&) = delete;
  Aftermath& operator=(const Aftermath&) = delete;

  // The functions of a state that has gone run later. Takes over a reference.
  void add_gone(SignalState& state) noexcept;

  // A function of then() for a state that has gone: runs now, and after it those that come in put_off() meanwhile.
  static void run_late(SignalState& state, absl::AnyInvocable<void()>& function) noexcept;
  // True inside of such a function.
  bool runs_late() const noexcept { return runs_late_; }
  // Takes over a reference to each.
  void put_off(Callback& callback) noexcept;

  // Destroys a state to which nobody has a reference, and its functions; inside the destruction of another's functions after it.
  static void destroy_with_functions(SignalState& state) noexcept;

  // While a function of the user's runs, what it destroys is destroyed at once.
  class Function {
   public:
    explicit Function(Context& context) noexcept;
    ~Function();

   private:
    Context& context_;
    Aftermath* const around_;
    bool destroyed_;
  };

  // Does what was put off, for a context that is about to wait inside a function. Where it has armed its wait already, what is
  // done meanwhile may not wait: see may_wait().
  void work_before_wait(bool is_armed) noexcept;
  bool may_wait() const noexcept { return !is_armed_ && waits_ < kMaxWaits; }

  // Waits inside functions that run inside waits: each is on top of the other.
  static constexpr int kMaxWaits = 16;

 private:
  void work() noexcept;
  void destroy_all() noexcept;

  Context* const context_;  // null for a thread that has none
  bool destroys_ = false;
  bool runs_late_ = false;
  bool is_armed_ = false;
  int waits_ = 0;

  // Lists, through SignalState::next_ and Callback::next.
  SignalState* gone_ = nullptr;
  SignalState* last_gone_ = nullptr;
  SignalState* dying_ = nullptr;
  Callback* late_ = nullptr;
  Callback* last_late_ = nullptr;
};

}  // namespace mothreads::internal
