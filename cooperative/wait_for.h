#pragma once

// Waiting for several things at once: Events, Pulses, EventQueues, ThreadedEventQueues, Fibers, ThreadHandles, mothreads::Queues and Signals, among
// them Tills, in any mix; with io/: descriptors (Readable, Writable), with them the ends of Processes and OsSignals, and FileWatches; and whatever WaitSource is
// specialised for.
//
//     auto [value, line] = co::wait_for_all(std::tie(event, reader), absl::Seconds(5));
//     auto first = co::wait_for_any(std::tie(event, queue, please_stop));      // a variant: first.index() says which it was
//     std::vector<int> sums = co::wait_for_all(fibers);                    // of one type: in a container
//
// A result of type void is a std::monostate in a tuple or a variant. Any thread may wait, with fibers or without; what belongs to one
// scheduler's thread alone (Event, Pulse, EventQueue, Fiber), only that one.

#include <array>
#include <concepts>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <ranges>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "cooperative/internal/wait/branch.h"
#include "mothreads/ended.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "mothreads/until.h"

namespace mothreads::inline v0 {
template <typename T>
class Queue;
}

namespace cooperative::inline v0 {

// How a type takes part that is announced by a Signal, and taken once. A class that has a result to give specialises it:
//
//     template <>
//     struct cooperative::WaitSource<Reply> {
//       static mothreads::Signal announced_by(const Reply& reply) { return reply.arrived(); }  // goes when take() need not wait any more
//       static Message take(Reply& reply) { return reply.take(); }                             // gives the result, or throws
//       static void check(Reply& reply) { reply.check(); }              // may be left out: throws what take() would throw, and takes nothing
//       static std::string name(const Reply& reply) { return "reply"; }  // for messages
//     };
//
// A wait_for_any() that another source ends, and a wait_for_all() that fails, take nothing.
template <typename Source>
struct WaitSource;

template <typename R>
struct WaitSource<mothreads::ThreadHandle<R>> {
  static mothreads::Signal announced_by(const mothreads::ThreadHandle<R>& handle) { return handle.stopped(); }
  static R take(mothreads::ThreadHandle<R>& handle) { return handle.join(); }
  static void check(mothreads::ThreadHandle<R>& handle) {
    if (const auto end = handle.end(); end && end->exception) std::rethrow_exception(end->exception);
  }
  static std::string name(const mothreads::ThreadHandle<R>& handle) { return "thread \"" + handle.name() + "\""; }
};

namespace internal {

class SignalBranch final : public Branch {
 public:
  using Result = void;

  explicit SignalBranch(const mothreads::Signal& signal) : signal_(signal) {}

  bool hold() override { return static_cast<bool>(signal_); }
  bool link(mothreads::internal::Wait& wait) override {
    wait.context().open_wait();
    node_.arm(wait, mothreads::Why::ready);
    return signal_.state(mothreads::internal::kAccess).link(node_);
  }
  void unlink() noexcept override { signal_.state(mothreads::internal::kAccess).unlink(node_); }
  bool has_won() const noexcept override { return node_.has_won(); }
  std::string name() const override { return "signal \"" + signal_.name() + "\""; }
  void take() {}

 private:
  const mothreads::Signal& signal_;
  mothreads::internal::WaitNode node_;
};

template <typename Source>
concept Announced = requires { sizeof(WaitSource<Source>); };

template <Announced Source>
class AnnouncedBranch final : public Branch {
 public:
  using Result = decltype(WaitSource<Source>::take(std::declval<Source&>()));

  explicit AnnouncedBranch(Source& source) : source_(source), signal_(WaitSource<Source>::announced_by(source)) {}

  bool hold() override { return branch_.hold(); }
  bool link(mothreads::internal::Wait& wait) override { return branch_.link(wait); }
  void unlink() noexcept override { branch_.unlink(); }
  bool has_won() const noexcept override { return branch_.has_won(); }
  void throw_failure() override {
    if constexpr (requires { WaitSource<Source>::check(source_); }) WaitSource<Source>::check(source_);
  }
  std::string name() const override { return WaitSource<Source>::name(source_); }
  const void* source_of_one() const override { return &source_; }
  Result take() { return WaitSource<Source>::take(source_); }

 private:
  Source& source_;
  const mothreads::Signal signal_;
  SignalBranch branch_{signal_};
};

// The branch of a mothreads::Queue. take() throws Closed for a queue that is closed and empty. Whoever learns of what ended the wait may destroy the
// queue.
template <typename T>
class QueueBranch final : public Branch {
 public:
  using Result = T;
  static constexpr bool kGivesNothingBack = true;  // others may have popped, and filled the queue, meanwhile

  explicit QueueBranch(mothreads::Queue<T>& queue) : pop_(queue, mothreads::internal::kAccess) {}

  bool hold() override { return pop_.try_pop(); }
  bool link(mothreads::internal::Wait& wait) override { return pop_.link(wait); }
  void unlink() noexcept override { pop_.unlink(); }
  bool has_won() const noexcept override { return pop_.has_won(); }
  std::string name() const override { return "queue \"" + std::string(pop_.name()) + "\""; }
  T take() { return std::move(pop_.result()).value(); }

 private:
  typename mothreads::Queue<T>::OneOfSeveral pop_;
};

template <typename Source>
struct BranchFor {
  using Type = typename Source::Branch;
};
template <std::derived_from<mothreads::Signal> Source>
struct BranchFor<Source> {
  using Type = SignalBranch;
};
template <Announced Source>
struct BranchFor<Source> {
  using Type = AnnouncedBranch<Source>;
};
template <typename T>
struct BranchFor<mothreads::Queue<T>> {
  using Type = QueueBranch<T>;
};
template <typename Source>
struct BranchFor<std::reference_wrapper<Source>> : BranchFor<Source> {};

template <typename Source>
using BranchOf = typename BranchFor<std::remove_cvref_t<Source>>::Type;

template <typename R>
using Kept = std::conditional_t<std::is_void_v<R>, std::monostate, R>;

template <typename B>
Kept<typename B::Result> take_from(B& branch) {
  if constexpr (std::is_void_v<typename B::Result>) {
    branch.take();
    return {};
  } else {
    return branch.take();
  }
}

// What can be waited for, given without std::tie().
template <typename T>
inline constexpr bool kIsQueue = false;
template <typename T>
inline constexpr bool kIsQueue<mothreads::Queue<T>> = true;
template <typename T>
concept OneSource = std::derived_from<std::remove_cvref_t<T>, mothreads::Signal> || Announced<std::remove_cvref_t<T>> ||
                    kIsQueue<std::remove_cvref_t<T>> || requires { typename std::remove_cvref_t<T>::Branch; };
template <typename... Sources>
inline constexpr bool kAreTied = false;
template <typename... Sources>
concept NotTied = !(std::is_lvalue_reference_v<Sources> && ...);

// Refuses the sources that wait_for_all() cannot wait for: wait_for_all() holds what came from one source while it awaits the others, and gives
// that back when one of them fails.
template <typename B>
constexpr void check_for_all() {
  static_assert(!requires { B::kForgets; },
                "a Pulse remembers nothing, so what it said while another was awaited would be missed: wait for an Event");
  static_assert(!requires { B::kGivesNothingBack; },
                "a mothreads::Queue takes nothing back to its front while others use it: pop() after wait_for_all(), or pop in in_parallel()");
}

}  // namespace internal

// Waits for every one, in their order, and gives all the results, in that order. One limit for all: when it comes first throws Timedout.
// When one of them throws, that is thrown; the earliest in the order if several do. Then nothing has been taken from the others: fibers
// still have their handles, values go back to where they came from. Does not wait for what is ready, also after the limit.
// A queue or an Event that is named twice gives two values; a Fiber has only one result, and throws mothreads::Misuse. That, and a source
// of another thread, are found before anything is taken.
template <typename... Sources>
auto wait_for_all(const std::tuple<Sources&...>& sources, const mothreads::Until& until = {}) {
  (internal::check_for_all<internal::BranchOf<Sources>>(), ...);
  return std::apply(
      [&](Sources&... source) {
        std::tuple<internal::BranchOf<Sources>...> branches(source...);
        return std::apply(
            [&](auto&... branch) {
              const std::array<internal::Branch*, sizeof...(Sources)> all{&branch...};
              internal::await_all(all, until);
              return std::tuple<internal::Kept<typename internal::BranchOf<Sources>::Result>...>{internal::take_from(branch)...};
            },
            branches);
      },
      sources);
}

// The same of a container's elements, which may be std::reference_wrappers. Nothing for results of type void.
template <std::ranges::forward_range Sources>
auto wait_for_all(Sources&& sources, const mothreads::Until& until = {}) {
  using B = internal::BranchOf<std::ranges::range_reference_t<Sources>>;
  internal::check_for_all<B>();
  std::deque<B> branches;
  std::vector<internal::Branch*> all;
  for (auto& source : sources) all.push_back(&branches.emplace_back(source));
  internal::await_all(all, until);
  if constexpr (!std::is_void_v<typename B::Result>) {
    std::vector<typename B::Result> results;
    results.reserve(branches.size());
    for (B& branch : branches) results.push_back(branch.take());
    return results;
  }
}

// Waits for the first, and gives its result, or throws what it throws. The others are left as they are: their values go to who waits
// next. Several that are ready already count in their order. When the limit comes first throws Timedout.
template <typename... Sources>
auto wait_for_any(const std::tuple<Sources&...>& sources, const mothreads::Until& until = {}) {
  static_assert(sizeof...(Sources) > 0, "wait_for_any of nothing would never end");
  using Result = std::variant<internal::Kept<typename internal::BranchOf<Sources>::Result>...>;
  return std::apply(
      [&](Sources&... source) {
        std::tuple<internal::BranchOf<Sources>...> branches(source...);
        return std::apply(
            [&](auto&... branch) {
              const std::array<internal::Branch*, sizeof...(Sources)> all{&branch...};
              const std::size_t first = internal::await_first(all, until);
              return [&]<std::size_t... I>(std::index_sequence<I...>) {
                using Take = Result (*)(decltype(branches)&);
                static constexpr Take kTakes[]{
                    [](decltype(branches)& from) { return Result(std::in_place_index<I>, internal::take_from(std::get<I>(from))); }...};
                return kTakes[first](branches);
              }(std::index_sequence_for<Sources...>());
            },
            branches);
      },
      sources);
}

// Sources without std::tie(), or in a tuple of copies: these say so.
template <internal::OneSource One, typename... Others>
void wait_for_any(One&&, Others&&...) {
  static_assert(internal::kAreTied<One, Others...>, "name what is waited for in std::tie(): wait_for_any(std::tie(event, please_stop), limit)");
}
template <internal::OneSource One, typename... Others>
void wait_for_all(One&&, Others&&...) {
  static_assert(internal::kAreTied<One, Others...>, "name what is waited for in std::tie(): wait_for_all(std::tie(event, fiber), limit)");
}
template <typename... Sources>
  requires internal::NotTied<Sources...>
void wait_for_any(const std::tuple<Sources...>&, const mothreads::Until& = {}) {
  static_assert(internal::kAreTied<Sources...>, "a tuple of copies is not what is waited for: use std::tie() instead of std::make_tuple()");
}
template <typename... Sources>
  requires internal::NotTied<Sources...>
void wait_for_all(const std::tuple<Sources...>&, const mothreads::Until& = {}) {
  static_assert(internal::kAreTied<Sources...>, "a tuple of copies is not what is waited for: use std::tie() instead of std::make_tuple()");
}

// Which of a container's elements came first.
template <typename R>
struct First {
  std::size_t index;
  R value;
};
template <>
struct First<void> {
  std::size_t index;
};

// The same of a container's elements. Throws mothreads::Misuse when there are none.
template <std::ranges::forward_range Sources>
auto wait_for_any(Sources&& sources, const mothreads::Until& until = {}) {
  using B = internal::BranchOf<std::ranges::range_reference_t<Sources>>;
  std::deque<B> branches;
  std::vector<internal::Branch*> all;
  for (auto& source : sources) all.push_back(&branches.emplace_back(source));
  if (all.empty()) throw mothreads::Misuse("wait_for_any of an empty container would never end: give it something to wait for");
  const std::size_t first = internal::await_first(all, until);
  if constexpr (std::is_void_v<typename B::Result>) {
    branches[first].take();
    return First<void>{first};
  } else {
    return First<typename B::Result>{first, branches[first].take()};
  }
}

}  // namespace cooperative
