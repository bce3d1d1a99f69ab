#pragma once

// Functions in fibers of their own, for the length of one call: nothing of them is left when it returns or throws, so they may use what the
// caller has by reference.
//
//     auto [a, b] = co::in_parallel([] { return fetch("a"); }, [] { return fetch("b"); });
//
// A caller that gives up on a function in a fiber of its own cancels that fiber and waits for its end: see FiberCancelled. A caller that is
// cancelled gives up, too.
//
// A caller gets one exception. What functions throw beside it is logged: he knows that his call has failed. One who is cancelled gets
// none; then each is a failure that nobody joined, which makes the exit code non-zero. The same holds for a Scheduler's
// callback_result() and a BlockingPool's call().

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

namespace cooperative::inline v0 {
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

struct ParallelOptions {
  std::size_t stack_size = 0;  // of each function's fiber, as FiberOptions'
};

// Calls all of them at a time, and gives their results in their order; of void a std::monostate. The first exception cancels the others,
// waits for them, and is thrown. Throws FiberLimit.
template <std::invocable... F>
auto in_parallel(const ParallelOptions& options, F&&... functions) {
  std::tuple<internal::Part<std::remove_reference_t<F>>...> parts(functions...);
  FiberGroup group(FiberGroupOptions{.name = "in parallel", .fail_fast = true});
  return std::apply(
      [&](auto&... part) {
        std::size_t number = 0;
        [[maybe_unused]] const auto start = [&](auto& its_part) {
          const std::string name = internal::part_name(++number);
          internal::spawn({.name = name,
                           .stack_size = options.stack_size,
                           .stack_option = internal::FiberBlock::StackOption::of_parallel,
                           .parent = FiberParent(group).ref(mothreads::internal::kAccess)},
                          std::ref(its_part))
              .release();
        };
        (start(part), ...);
        internal::join_parts(group);
        if (!(part.result && ...)) internal::throw_part_cancelled();
        return std::tuple<typename internal::Part<std::remove_reference_t<F>>::Kept...>{*std::move(part.result)...};
      },
      parts);
}
template <std::invocable... F>
auto in_parallel(F&&... functions) {
  return in_parallel(ParallelOptions{}, std::forward<F>(functions)...);
}

}  // namespace cooperative
