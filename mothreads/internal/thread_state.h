#pragma once

// A thread with its function, its arguments and its result.

#include <functional>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "mothreads/internal/thread_node.h"

namespace mothreads::inline v0::internal {

template <typename R>
class ThreadState : public ThreadNode {
  static_assert(!std::is_reference_v<R>, "a thread's result cannot be a reference: return a pointer or std::ref()");

 public:
  ThreadState(std::string_view name, Signal please_stop, Clock& clock, absl::AnyInvocable<R()> function)
      : ThreadNode(name, std::move(please_stop), clock), function_(std::move(function)) {}

  R take_result() {
    if constexpr (!std::is_void_v<R>) return *std::move(result_);
  }

 private:
  void call() override {
    if constexpr (std::is_void_v<R>) {
      function_();
    } else {
      result_.emplace(function_());
    }
  }
  void drop_function() noexcept override { function_ = nullptr; }
  void drop_result() noexcept override { result_.reset(); }

  struct Nothing {};
  absl::AnyInvocable<R()> function_;
  std::optional<std::conditional_t<std::is_void_v<R>, Nothing, R>> result_;
};

}  // namespace mothreads::internal
