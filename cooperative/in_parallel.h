#pragma once

// Functions in fibers of their own, for the length of one call: nothing of them is left when it returns or throws, so they may use what
// the caller has by reference.
//
//     auto [a, b] = co::in_parallel([] { return fetch("a"); }, [] { return fetch("b"); });
//     auto page   = co::with_timeout(absl::Seconds(3), [] { return fetch("c"); });
//
// Who gives up on a function cancels its fiber and waits for its end: see FiberCancelled. A caller who is cancelled gives up, too.
//
// A caller gets one exception. What functions throw beside it is logged: he knows that his call has failed. One who is cancelled gets
// none; then each is a failure that nobody joined, which makes the exit code non-zero. The same holds for a Scheduler's
// callback_result() and a BlockingPool's call().
//
// When not to use them: for a single wait, which takes its limit itself.

#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/fiber_group.h"
#include "mothreads/until.h"

namespace cooperative {
namespace internal {

// A function's result once it has returned; of void a std::monostate.
template <typename F>
struct Part {
  using R = std::invoke_result_t<F&>;
  static_assert(!std::is_reference_v<R>, "a result of in_parallel() cannot be a reference: return a pointer or std::ref()");
  using Kept = std::conditional_t<std::is_void_v<R>, std::monostate, R>;

  explicit Part(F& its_function) : function(its_function) {}

  void operator()() {
    if constexpr (std::is_void_v<R>) {
      std::invoke(function);
      result.emplace();
    } else {
      result.emplace(std::invoke(function));
    }
  }

  F& function;  // the caller waits
  std::optional<Kept> result;
};

// Waits for all. What the first threw is thrown, what the others threw on their way out is logged.
void join_parts(FiberGroup& parts);
[[noreturn]] void throw_part_cancelled();
std::string part_name(std::size_t number);

// What a function threw beside what its caller gets.
void log_abandoned(std::string_view what, const std::exception_ptr& failure);

}  // namespace internal

// Calls all of them at a time, and gives their results in their order; of void a std::monostate. The first exception cancels the others,
// waits for them, and is thrown. Throws FiberLimit.
template <std::invocable... F>
auto in_parallel(F&&... functions) {
  std::tuple<internal::Part<std::remove_reference_t<F>>...> parts(functions...);
  FiberGroup group(FiberGroupOptions{.name = "in parallel", .fail_fast = true});
  return std::apply(
      [&](auto&... part) {
        std::size_t number = 0;
        (group.spawn(internal::part_name(++number), std::ref(part)), ...);
        internal::join_parts(group);
        if (!(part.result && ...)) internal::throw_part_cancelled();
        return std::tuple<typename internal::Part<std::remove_reference_t<F>>::Kept...>{*std::move(part.result)...};
      },
      parts);
}

// Calls it, and gives its result or throws what it throws. When the limit comes first cancels it, waits for it, and throws Timedout.
template <std::invocable F>
auto with_timeout(const mothreads::Until& until, F&& function) -> std::invoke_result_t<F&> {
  using R = std::invoke_result_t<F&>;
  Fiber<R> fiber = spawn("with timeout", [&function]() -> R { return std::invoke(function); });
  try {
    return fiber.join(until);
  } catch (const Timedout&) {
    if (!fiber.owns()) throw;                    // the function's own
    if (!fiber.is_alive()) return fiber.join();  // it has ended just now, and what it gives is not lost
  }
  fiber.cancel();
  try {
    static_cast<void>(fiber.join());
  } catch (const WasCancelled&) {
  } catch (const FiberCancelled&) {
    throw;
  } catch (...) {
    internal::log_abandoned("with_timeout", std::current_exception());
  }
  throw Timedout("with_timeout: the limit came before the function had ended");
}

}  // namespace cooperative
