#pragma once

// The templates of fiber.h: a function with its arguments, and its result, in the room of a fiber's block where they fit.

#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "cooperative/internal/scheduler/fiber_life.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "mothreads/member.h"
#include "mothreads/signal.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {

template <typename R>
class Fiber;

namespace internal {

template <typename Bound, typename R>
struct FiberJob {
  struct Nothing {};
  using Kept = std::conditional_t<std::is_void_v<R>, Nothing, R>;

  explicit FiberJob(Bound&& its_function) : function(std::move(its_function)) {}
  FiberJob(const FiberJob&) = delete;
  FiberJob& operator=(const FiberJob&) = delete;
  ~FiberJob() { drop_function(this); }

  static FiberJob& of(void* self) { return *static_cast<FiberJob*>(self); }
  static void call(void* self) {
    if constexpr (std::is_void_v<R>) {
      std::move(of(self).function)();
    } else {
      of(self).result.emplace(std::move(of(self).function)());
    }
  }
  static void drop_function(void* self) noexcept {
    if (std::exchange(of(self).has_function, false)) std::destroy_at(std::addressof(of(self).function));
  }
  static void destroy(void* self) noexcept { of(self).~FiberJob(); }
  static void free(void* self) noexcept { ::operator delete(self, std::align_val_t{alignof(FiberJob)}); }

  static constexpr FiberBlock::Job ops(void (*its_free)(void* self) noexcept) {
    constexpr bool drops_nothing = std::is_trivially_destructible_v<Bound>;
    constexpr bool destroys_nothing = drops_nothing && std::is_trivially_destructible_v<Kept>;
    return {call, drops_nothing ? nullptr : drop_function, destroys_nothing ? nullptr : destroy, its_free};
  }
  static const FiberBlock::Job kOps;
  static const FiberBlock::Job kOpsOfHeap;

  // The result first: who takes it knows its type, not the function's.
  std::optional<Kept> result;
  // In place of an optional, which the compiler would make anew for each function that is spawned.
  union {
    Bound function;
  };
  bool has_function = true;
};

template <typename Bound, typename R>
constexpr FiberBlock::Job FiberJob<Bound, R>::kOps = ops(nullptr);
template <typename Bound, typename R>
constexpr FiberBlock::Job FiberJob<Bound, R>::kOpsOfHeap = ops(free);

template <typename Bound, typename R>
void put_job(FiberBlock& fiber, Bound&& bound) {
  using Job = FiberJob<Bound, R>;
  if constexpr (sizeof(Job) <= FiberBlock::kRoom && alignof(Job) <= alignof(std::max_align_t)) {
    fiber.job_self = new (fiber.room) Job(std::move(bound));
    fiber.job = &Job::kOps;
  } else {
    void* memory = ::operator new(sizeof(Job), std::align_val_t{alignof(Job)});
    try {
      fiber.job_self = new (memory) Job(std::move(bound));
    } catch (...) {
      Job::free(memory);
      throw;
    }
    fiber.job = &Job::kOpsOfHeap;
  }
}

template <typename R>
R take_result(FiberBlock& fiber) {
  return *std::move(*static_cast<std::optional<R>*>(fiber.job_self));
}

// What spawn() is asked for.
struct Order {
  std::string_view name;
  const mothreads::Signal* please_stop = nullptr;
  std::size_t stack_size = 0;
  FiberBlock::StackOption stack_option = FiberBlock::StackOption::of_fiber;
  ParentRef parent = {};  // the fiber that runs, when there is none
  bool starts_at_once = false;

  bool has_only_name() const {
    return !name.empty() && stack_size == 0 && parent.block == nullptr && parent.id == 0 && stack_option == FiberBlock::StackOption::of_fiber;
  }
};

// The parts that need no template.
[[noreturn]] void refuse_handle(const FiberBlock* fiber);
[[noreturn]] void throw_not_joined(const FiberBlock& fiber, mothreads::Why why);
[[noreturn]] void rethrow(FiberBlock& fiber);
void stop_and_wait(FiberBlock& fiber) noexcept;
mothreads::Signal please_stop_of(FiberBlock& fiber);
mothreads::Member member_of(FiberBlock& fiber);
ParentRef parent_of_member(const mothreads::Member& member);
// Throws Misuse when the parent has ended.
FiberBlock& new_fiber(const Order& order);
void give_please_stop(FiberBlock& fiber, const mothreads::Signal* shared);

// Gives a fiber back when its handle is done with it.
struct LetGo {
  FiberBlock* fiber;
  ~LetGo() { let_go(*fiber); }
};

template <typename F, typename... Args>
auto spawn(const Order& order, F&& function, Args&&... args) {
  constexpr bool takes_stop = std::is_invocable_v<std::decay_t<F>, std::decay_t<Args>..., mothreads::Signal>;
  constexpr bool takes_arguments = takes_stop || std::is_invocable_v<std::decay_t<F>, std::decay_t<Args>...>;
  constexpr bool forgets_ref = !takes_arguments && (std::is_invocable_v<std::decay_t<F>, std::remove_reference_t<Args>&..., mothreads::Signal> ||
                                                    std::is_invocable_v<std::decay_t<F>, std::remove_reference_t<Args>&...>);
  static_assert(!forgets_ref,
                "the fiber's function takes a reference, and an argument would be a copy that is the fiber's own: pass std::ref(x) "
                "for the caller's x, or let the function take it by value");
  static_assert(takes_arguments || forgets_ref,
                "a fiber's function must take the arguments that you pass to spawn(), and may take a please_stop after them");
  FiberBlock& fiber = order.has_only_name() ? make_fiber(SchedulerCore::current(), order.name) : new_fiber(order);
  struct Unmake {
    FiberBlock* fiber;
    ~Unmake() {
      if (fiber != nullptr) unmake_fiber(*fiber);
    }
  } unmake{&fiber};
  const auto begin = [&]<typename R>(auto&& bound) {
    static_assert(!std::is_reference_v<R>, "a fiber's result cannot be a reference: return a pointer or std::ref()");
    put_job<std::decay_t<decltype(bound)>, R>(fiber, std::move(bound));
    if (fiber.may_be_late) tell_if_late(fiber);
    unmake.fiber = nullptr;
    fiber.has_handle = true;
    if (order.starts_at_once) {
      start_at_once(fiber);
    } else {
      start(fiber);
    }
    return Fiber<R>(fiber, mothreads::internal::kAccess);
  };
  if constexpr (takes_stop) {
    using R = std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>..., mothreads::Signal>;
    give_please_stop(fiber, order.please_stop);
    // Without arguments no tuple is made of them: every function that is spawned would take a fifth longer to compile.
    if constexpr (sizeof...(Args) == 0) {
      return begin.template operator()<R>([f = std::decay_t<F>(std::forward<F>(function)), stop = fiber.please_stop]() mutable -> R {
        return std::invoke(std::move(f), std::move(stop));
      });
    } else {
      return begin.template operator()<R>(
          [f = std::decay_t<F>(std::forward<F>(function)), a = std::tuple<std::decay_t<Args>...>(std::forward<Args>(args)...),
           stop = fiber.please_stop]() mutable -> R {
            return std::apply([&](auto&... arg) -> R { return std::invoke(std::move(f), std::move(arg)..., std::move(stop)); }, a);
          });
    }
  } else {
    using R = std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>;
    if constexpr (sizeof...(Args) == 0) {
      return begin.template operator()<R>(std::decay_t<F>(std::forward<F>(function)));
    } else {
      return begin.template operator()<R>(
          [f = std::decay_t<F>(std::forward<F>(function)),
           a = std::tuple<std::decay_t<Args>...>(std::forward<Args>(args)...)]() mutable -> R {
            return std::apply([&](auto&... arg) -> R { return std::invoke(std::move(f), std::move(arg)...); }, a);
          });
    }
  }
}

}  // namespace internal
}  // namespace cooperative
