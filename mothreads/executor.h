#pragma once

// Somebody who runs functions on a thread of their own: a handle that code gives functions to without knowing whose it is.
//
//     Executor screen = co::Scheduler::current();              // a Scheduler and a CallbackQueue convert to an Executor
//     done.then(screen, [] { show("done"); });                 // the thread that calls go() only posts it
//     Executor window = Executor::of("window", [&](absl::AnyInvocable<void()> f) { return post_to_window(std::move(f)); });
//
// Blocking: nothing here blocks. Lifetime: an Executor never keeps its target running, and may outlive it; posting to a target that
// has ended is `closed`. Thread safety: copies may be used by any thread or fiber at any time.

#include <concepts>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "mothreads/internal/base/access.h"
#include "mothreads/internal/executor_target.h"
#include "mothreads/posted.h"

namespace mothreads::inline v0 {

class Executor {
 public:
  // One of a user's loop: `function` is given each function, and has its loop call that once. It may be called by several threads at
  // a time, and must not block. It returns nothing, or whether the loop has taken the function: a bool (false counts as `closed`) or a
  // Posted. What it throws leaves post(). What it refuses it must not call. Each post allocates once. The name is for messages.
  // Exceptions of posted functions go to the loop, as from every function that the loop calls.
  template <std::invocable<absl::AnyInvocable<void()>> F>
  static Executor of(std::string_view name, F function);
  template <std::invocable<absl::AnyInvocable<void()>> F>
  static Executor of(F function) {
    return of("an Executor of a user's loop", std::move(function));
  }

  // Has the target call `function` once, on its own thread, after what the same thread posted to it before. Never blocks. Refused, with
  // why() `closed` or `full`, the function is untouched and still the caller's. A target that ends before the function's turn destroys
  // it uncalled, and says in its own way how many it destroyed. What the function throws is reported as the target reports its callbacks.
  // Throws Misuse for an empty function.
  Posted post(absl::AnyInvocable<void()>&& function) const;

  // For messages: the scheduler of "main".
  std::string name() const;

  Executor(const Executor& other) noexcept : target_(other.target_) {
    if (target_ != nullptr) target_->ref();
  }
  Executor(Executor&& other) noexcept : target_(std::exchange(other.target_, nullptr)) {}  // leaves one behind that is closed
  Executor& operator=(Executor other) noexcept {
    std::swap(target_, other.target_);
    return *this;
  }
  ~Executor() {
    if (target_ != nullptr) target_->unref();
  }

  // For the library: takes over the reference that a target is born with.
  Executor(const internal::ExecutorTarget* target, internal::Access) noexcept : target_(target) {}

 private:
  static Executor of_loop(std::string_view name, internal::GiveToLoop give);
  [[noreturn]] static void refuse_empty(std::string_view name);

  const internal::ExecutorTarget* target_;
};

// --- implementation --------------------------------------------------------------------------------------------------------------

template <std::invocable<absl::AnyInvocable<void()>> F>
Executor Executor::of(std::string_view name, F function) {
  static_assert(std::invocable<const F&, absl::AnyInvocable<void()>>,
                "several threads may be in the function of Executor::of() at a time: let it change nothing of its own, and not be mutable");
  using Result = std::invoke_result_t<const F&, absl::AnyInvocable<void()>>;
  if constexpr (std::is_pointer_v<F> || requires { function.operator bool(); }) {
    if (!static_cast<bool>(function)) refuse_empty(name);
  }
  return of_loop(name, [give = std::move(function)](absl::AnyInvocable<void()> posted) -> Posted {
    if constexpr (std::is_void_v<Result>) {
      std::invoke(give, std::move(posted));
      return Why::ready;
    } else if constexpr (std::is_same_v<Result, Posted>) {
      return std::invoke(give, std::move(posted));
    } else {
      return static_cast<bool>(std::invoke(give, std::move(posted))) ? Why::ready : Why::closed;
    }
  });
}

}  // namespace mothreads
