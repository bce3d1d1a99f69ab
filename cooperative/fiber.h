#pragma once

// Fibers: functions that take turns on one OS thread. One runs until it waits; then the next that is ready does. Between two waits
// nothing else of that thread runs, so fibers of one thread need no locks between them.
//
//     auto reader = co::spawn("reader", read, std::ref(port));            // runs when this one waits
//     std::string line = reader.join();                                   // its result, or its exception
//
// The first spawn() on a thread makes its scheduler, and the code that called it becomes the root of the thread's fibers. Every wait of
// mothreads (Signal, Till, Lock, Queue, join) suspends only the fiber that waits.
//
// The handle owns the fiber: its destructor stops it and waits for it. stop() asks: a function that takes a please_stop (a
// mothreads::Signal as its last parameter) sees it go; one that does not is cancelled, which throws FiberCancelled out of the wait
// where it is. Both have until the stop deadline (mothreads/stopping.h): the former is cancelled then, and who still does not end is
// reported, and the process ends. A failure that nobody takes by join() is logged and makes the exit code non-zero.
//
// For the functions of a fiber's own end (a then() function of its stopped(), a destructor of what its function captured or returned) the
// fiber is over: a join() returns at once, the handle may be destroyed or replaced, and a fiber that is made there belongs to the next
// above that lives on. This is how a supervisor starts the next.
//
// What belongs to the thread and not to the fiber must not be held across a wait when another fiber of that thread may come to it: it
// would block the thread, and so whoever could let go. That is a std::mutex (a mothreads::Lock or an RLock is the fiber's), and a static
// variable whose initialiser waits. Nothing can tell it from a thread that waits for another, so nothing reports it.
//
// Thread safety: a fiber and its handle belong to one thread; used from another, or after its end, they throw mothreads::Misuse before
// anything changes. Who outlives the thread may only destroy the handle. stopped() and please_stop() are Signals, for any thread.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "cooperative/errors.h"
#include "cooperative/internal/scheduler/fiber_job.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/internal/wait/branch.h"
#include "mothreads/end_record.h"
#include "mothreads/internal/base/access.h"
#include "mothreads/member.h"
#include "mothreads/signal.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {

// Who stops a fiber, and waits for it, when its own function has ended: another fiber, by its handle, or a FiberGroup.
class FiberParent {
 public:
  FiberParent() = default;  // who makes the fiber
  // The root of the scheduler, which has nobody above it: for an object whose handle owns the fiber, and may outlive the fiber that makes it, or the
  // FiberGroup which that belongs to.
  static FiberParent root() noexcept { return {internal::ParentRef{nullptr, internal::ParentRef::kRoot}, mothreads::internal::kAccess}; }
  template <typename R>
  FiberParent(const Fiber<R>& fiber);
  // The member is a fiber or a FiberGroup of this thread; another throws mothreads::Misuse. An empty Member stands for the fiber that runs.
  template <std::same_as<mothreads::Member> M>
  FiberParent(const M& member) : FiberParent(internal::parent_of_member(member), mothreads::internal::kAccess) {}

  // For the library.
  FiberParent(const internal::ParentRef& ref, mothreads::internal::Access) : ref_(ref) {}
  const internal::ParentRef& ref(mothreads::internal::Access) const { return ref_; }

 private:
  internal::ParentRef ref_;
};

enum class Start : std::uint8_t {
  next_round,  // behind all that is ready
  at_once,     // inside spawn(), until it first waits or ends; then its maker goes on, before anybody else
};

struct FiberOptions {
  std::string name = {};
  std::optional<mothreads::Signal> please_stop = std::nullopt;  // may be shared; for a function that takes one
  std::size_t stack_size = 0;                                   // bytes, at least 16 KiB; 0 for 64 KiB. See stack_use.h
  FiberParent parent = {};                                      // also of the fiber when it has been released
  Start start = Start::next_round;
};

// Owns a fiber whose function returns R. Movable.
template <typename R>
class [[nodiscard]] Fiber {
 public:
  Fiber() = default;  // owns nothing
  Fiber(Fiber&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  Fiber& operator=(Fiber&& other) {
    if (this != &other) {
      stop_and_wait();
      block_ = std::exchange(other.block_, nullptr);
    }
    return *this;
  }
  ~Fiber() { stop_and_wait(); }

  // Waits until it has ended, with all its children, and gives its result, or throws what it threw, or WasCancelled. The handle
  // then owns nothing. When the limit comes first throws Timedout, and the handle still owns the fiber. Throws mothreads::Misuse
  // when it can never end: a fiber that joins itself, or one that it runs under; and for all but the first of several who join it.
  COOPERATIVE_INLINED R join() { return join_with(); }
  COOPERATIVE_INLINED R join(const mothreads::Until& until) { return join_with(until); }

  // Asks its children, then itself, to stop; does not wait. Chain: f.stop().join().
  Fiber& stop() {
    internal::FiberBlock& fiber = block();
    fiber.core->stopping().stop(fiber);
    return *this;
  }

  // Unwinds it from its wait, also when its function takes a please_stop. Does not wait.
  Fiber& cancel() {
    internal::FiberBlock& fiber = block();
    internal::Stopping::cancel(fiber);
    return *this;
  }

  // Hands the fiber to the root of its scheduler, which stops and waits for it when the thread ends; one that was made in a
  // FiberGroup's member to that group, one with a FiberOptions::parent to that. What the fiber uses must outlive them. Its result is
  // dropped, its failure the group's, or logged.
  void release() {
    internal::FiberBlock& fiber = block();
    block_ = nullptr;
    internal::let_go(fiber);
  }

  mothreads::Signal stopped() const { return internal::stopped_signal(block()); }
  mothreads::Signal please_stop() const { return internal::please_stop_of(block()); }
  const std::string& name() const { return block().own_name; }
  std::uint64_t id() const { return block().id; }  // unique in its scheduler
  // For any thread; keeps nothing running. What its end record says of times begins with the first Member that was made of the fiber.
  operator mothreads::Member() const { return internal::member_of(block()); }
  // How it ended; none while it runs.
  std::optional<mothreads::EndRecord> end() const { return mothreads::Member(*this).end(); }
  bool is_alive() const { return owns() && block().state != internal::FiberBlock::State::ended; }
  bool owns() const { return block_ != nullptr; }

  class Branch;  // for wait_for_any() and wait_for_all()

  // For the library: takes over a fiber that has been started.
  Fiber(internal::FiberBlock& fiber, mothreads::internal::Access) : block_(&fiber) {}

 private:
  friend class FiberParent;
  template <typename... Limit>
  COOPERATIVE_INLINED R join_with(const Limit&... until);
  // join() without the act, of what block() has given.
  template <typename... Limit>
  COOPERATIVE_INLINED R collect(internal::FiberBlock& fiber, const Limit&... until);
  internal::FiberBlock& block() const {
    if (block_ == nullptr || !internal::SchedulerCore::is_current(block_->core_life)) [[unlikely]] internal::refuse_handle(block_);
    return *block_;
  }
  void stop_and_wait() noexcept {
    if (internal::FiberBlock* fiber = std::exchange(block_, nullptr)) internal::stop_and_wait(*fiber);
  }

  internal::FiberBlock* block_ = nullptr;
};

// Makes a fiber that calls function(args...), with a please_stop as last argument if it takes one. It begins with the floating-point
// environment of its maker, as a thread does. The arguments are moved or copied
// into it, std::ref() passes a reference. Does not wait: the fiber runs in the next round, or begins at once (Start). Throws FiberLimit.
template <typename F, typename... Args>
auto spawn(std::string_view name, F&& function, Args&&... args) {
  return internal::spawn({.name = name}, std::forward<F>(function), std::forward<Args>(args)...);
}
template <typename F, typename... Args>
auto spawn(const FiberOptions& options, F&& function, Args&&... args) {
  return internal::spawn({.name = options.name,
                          .please_stop = options.please_stop ? &*options.please_stop : nullptr,
                          .stack_size = options.stack_size,
                          .parent = options.parent.ref(mothreads::internal::kAccess),
                          .starts_at_once = options.start == Start::at_once},
                         std::forward<F>(function), std::forward<Args>(args)...);
}

// The name of the fiber that runs, or of the thread where none does.
std::string_view current_name();

// --- implementation --------------------------------------------------------------------------------------------------------------

template <typename R>
FiberParent::FiberParent(const Fiber<R>& fiber) : ref_{&fiber.block(), fiber.block().id} {}

template <typename R>
template <typename... Limit>
COOPERATIVE_INLINED R Fiber<R>::join_with(const Limit&... until) {
  internal::FiberBlock* fiber = &block();
  if (fiber->state == internal::FiberBlock::State::ended) {
    fiber->core->spend_act();  // any other wait begins a new turn
    fiber = &block();
  }
  return collect(*fiber, until...);
}

template <typename R>
template <typename... Limit>
COOPERATIVE_INLINED R Fiber<R>::collect(internal::FiberBlock& fiber, const Limit&... until) {
  const mothreads::Why why = internal::join(fiber, fiber.core->start(until)...);
  if (block_ != &fiber) [[unlikely]] internal::refuse_handle(nullptr);  // another, who waited too, was first
  if (why != mothreads::Why::ready) [[unlikely]] {
    internal::throw_not_joined(fiber, why);
  }
  internal::LetGo let_go{std::exchange(block_, nullptr)};
  if (fiber.outcome != internal::FiberBlock::Outcome::returned) internal::rethrow(fiber);
  if constexpr (!std::is_void_v<R>) return internal::take_result<R>(fiber);
}

template <typename R>
class Fiber<R>::Branch final : public internal::Branch {
 public:
  using Result = R;

  explicit Branch(Fiber& fiber) : fiber_(fiber), block_(fiber.block()) {
    if (block_.state != internal::FiberBlock::State::ended) static_cast<void>(internal::check_join(block_));
  }

  bool hold() override { return internal::is_over(fiber_.block()); }
  bool link(mothreads::internal::Wait& wait) override {
    node_.arm(wait, mothreads::Why::ready);
    block_.joiners.push_back(node_);
    return true;
  }
  void unlink() noexcept override { block_.joiners.remove(node_); }
  bool has_won() const noexcept override { return node_.has_won(); }
  void throw_failure() override {
    if (fiber_.block().outcome != internal::FiberBlock::Outcome::returned) static_cast<void>(fiber_.collect(fiber_.block()));
  }
  std::string name() const override { return "the end of fiber \"" + block_.own_name + "\""; }
  const void* source_of_one() const override { return &block_; }
  R take() { return fiber_.collect(fiber_.block()); }

 private:
  Fiber& fiber_;
  internal::FiberBlock& block_;
  mothreads::internal::WaitNode node_;
};

}  // namespace cooperative
