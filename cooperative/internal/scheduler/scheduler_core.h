#pragma once

// The scheduler of one OS thread. Its order, in rounds, is cothread's (docs/architecture.md, "Fibers"):
//
//     1. fibers whose wait other threads ended, in that order
//     2. a fiber for callbacks that other threads posted, if none runs them yet
//     3. timers that are due, in the order of their times, then those who yielded
//     4. if nothing is ready: those who yielded until nothing is ready
//     5. all that is ready then runs, once, in that order; what becomes ready meanwhile waits for the next round
//
// A fiber that suspends does all this itself, on its own stack, and switches to the one that comes next. When nothing is ready it
// sleeps there. What a wait does when there is nothing special about it is inlined into who waits: see switch.h.
//
// The core has what waits and rounds need of several parts. The parts are rooms of their own (docs/decisions/0010-rooms-of-the-core.md):
// those of one thread's scheduler are in scheduler_life.h, those that outlive it are here.

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "cooperative/errors.h"
#include "cooperative/internal/scheduler/block_pool.h"
#include "cooperative/internal/scheduler/cancellation.h"
#include "cooperative/internal/scheduler/fiber_block.h"
#include "cooperative/internal/scheduler/inbox.h"
#include "cooperative/internal/scheduler/overflow_report.h"
#include "cooperative/internal/scheduler/scheduler_life.h"
#include "cooperative/internal/scheduler/services.h"
#include "cooperative/internal/stack/runnable.h"
#include "cooperative/internal/stack/sanitizers.h"
#include "mothreads/clock.h"
#include "mothreads/ended.h"
#include "mothreads/instant.h"
#include "mothreads/internal/wait/host.h"
#include "mothreads/internal/wait/timer_wheel.h"
#include "mothreads/internal/wait/wait.h"
#include "mothreads/until.h"

namespace cooperative::inline v0::internal {

struct SchedulerCounts {
  std::uint64_t switches = 0;
  std::uint64_t rounds = 0;
  std::uint64_t sleeps = 0;
  std::uint64_t wakes = 0;  // system calls of other threads to wake it
};

// `next`, or whoever comes next after it, once it has a stack; `from` when nobody else is ready any more. In fiber_life.cc.
COOPERATIVE_FLATTENED Runnable& prepared(SchedulerCore& core, Runnable& next, Runnable& from) noexcept;

class SchedulerCore final : public mothreads::internal::Host {
 public:
  // The calling thread's; made at the first call: cores.h.
  static SchedulerCore& current() {
    SchedulerCore* core = current_;
    return core != nullptr ? *core : make_for_this_thread();
  }
  static SchedulerCore* current_or_null() noexcept { return current_; }
  // A test world has several on its thread.
  static void set_current(SchedulerCore* core) noexcept {
    current_ = core;
    current_life_ = core == nullptr ? 0 : core->life();
    mothreads::internal::Context::set_turn_here(core);
  }
  bool is_its_thread() const noexcept { return current_ == this; }

  // For Cores alone.
  SchedulerCore() noexcept;
  SchedulerCore(const SchedulerCore&) = delete;
  SchedulerCore& operator=(const SchedulerCore&) = delete;
  ~SchedulerCore() = delete;  // cores are recycled, never freed: a thread that posts to one may still look at it after it has ended

  // --- its lives ----------------------------------------------------------------------------------------------------------

  // A core serves one thread after the other: the number of the thread that it serves, which no core has had before.
  std::uint64_t life() const noexcept { return number_of_life_.load(std::memory_order_relaxed); }
  static bool is_current(std::uint64_t life) noexcept { return current_life_ == life; }
  // Whether it still serves that one; any thread may ask.
  bool lives(std::uint64_t life) const noexcept { return this->life() == life; }

  // Serves the calling thread from now on.
  void begin(Conductor* conductor);
  // On its own thread, by its own stack: stops all fibers, waits for them, and takes the scheduler away; but from a thread that it carries to
  // the end, who calls leave_thread().
  void end();
  // Ends this life of the core for its thread; then the core may serve another.
  void leave_thread() noexcept;
  void retire();
  // In the child of a fork(): its thread is not there.
  void lose_thread() noexcept;
  void forget_io_waits() noexcept { io_waits_ = 0; }  // likewise
  // Serves a thread of a test world.
  bool is_of_world() const noexcept { return has_life_ && life_.conductor != nullptr; }

  // --- its parts ----------------------------------------------------------------------------------------------------------

  // Of this life; only as long as that lasts.
  SchedulerLife& rooms() noexcept { return life_; }
  const SchedulerLife& rooms() const noexcept { return life_; }
  Stopping& stopping() noexcept { return life_.stopping; }
  // Of all its lives.
  BlockPool& blocks() noexcept { return blocks_; }
  const BlockPool& blocks() const noexcept { return blocks_; }
  Inbox& inbox() noexcept { return inbox_; }
  // Null when this life is over, or was not.
  const SchedulerNode* node() const noexcept { return has_life_ ? life_.node : nullptr; }
  void add_node();
  SchedulerCounts counts() const noexcept;

  // --- who runs -----------------------------------------------------------------------------------------------------------

  Runnable& running() const noexcept { return life_.switcher.running(); }
  // The fiber that runs; null for the thread's own stack.
  FiberBlock* running_fiber() const noexcept {
    return running().is_fiber ? static_cast<FiberBlock*>(running().context) : nullptr;
  }
  bool runs_below(const FiberBlock& ancestor) const noexcept {
    const FiberBlock* me = running_fiber();
    return me != nullptr && FiberTree::is_below(*me, ancestor);
  }
  // Below which a fiber that is made now belongs: who runs. Where that are functions of a fiber's end, it is the next above that lives on.
  FiberBlock* parent_for_new() const noexcept {
    FiberBlock* const me = running_fiber();
    return me == nullptr || me->state == FiberBlock::State::begun ? me : FiberTree::next_above(me);
  }
  Runnable& runnable_of(mothreads::internal::Context& context) noexcept {
    return &context == life_.root->context ? *life_.root : static_cast<FiberBlock&>(context).runnable;
  }

  // --- waiting ------------------------------------------------------------------------------------------------------------

  COOPERATIVE_INLINED void yield();  // behind all that is ready
  void yield_in_round();             // behind all that is ready in this round, before those that yield in it
  mothreads::Ended yield_until_idle(mothreads::Limit limit);  // until nothing else is ready

  // The limit of a verb of the running context that begins now: see mothreads/limit.h.
  mothreads::Limit start(const mothreads::Until& until) noexcept { return life_.timers.start(until, *running().context->clock); }
  static mothreads::Limit start(mothreads::Limit started) noexcept { return started; }

  // Waits in `list`, whose other users are its fibers alone, until one of them takes the node out and ends the wait, or the limit
  // comes: one that has started, or starts now. `node` need not be armed. Without a limit, where none is given: the compiler would keep one on
  // the stack, and look at it after the switch.
  template <typename... Limit>
  COOPERATIVE_INLINED mothreads::Why wait(mothreads::internal::WaitList& list, mothreads::internal::WaitNode& node,
                                          mothreads::internal::HostedWait what, const Limit&... limit);
  // Ends the wait of a node that was claimed.
  void end_wait(mothreads::internal::WaitNode& node, mothreads::Why why) noexcept {
    mothreads::internal::Context& context = node.context();
    if (context.finish_by_host(why)) life_.queue.push_ready(runnable_of(context));
  }

  // A context that something wants to unwind: ends the wait that it is in, if it may be unwound there.
  void interrupt(mothreads::internal::Context& context) noexcept;
  // Its unwind_wanted is another: while it is true the next verb unwinds it, whatever is ready.
  void unwinding_changed(mothreads::internal::Context& context) noexcept;

  // --- turns --------------------------------------------------------------------------------------------------------------

  // What every verb that may wait does first, of its own thread: see Context::spend_act(). The first is for those that find what they need
  // in memory, the second for operations on descriptors. When the running fiber has had so many without a pause that others should have a
  // turn, they have one.
  COOPERATIVE_INLINED void spend_act() {
    if (--acts_left < 0) [[unlikely]] end_turn_of_act();
  }
  COOPERATIVE_INLINED void spend_operation() {
    if ((acts_left -= kActsPerOperation) < 0) [[unlikely]] end_turn(kActsPerOperation, Unwinds::yes);
  }
  std::uint32_t selfishness() const noexcept { return life_.turns.selfishness(); }
  void set_selfishness(std::uint32_t operations) noexcept;
  std::uint32_t set_max_selfish_acts(std::uint32_t operations) noexcept;  // of the running fiber; gives what it was
  void end_turn(std::int32_t acts, Unwinds unwinds) override;
  void end_turn_of_act();
  void watch(mothreads::internal::Step step, const mothreads::internal::WaitDescription& what) noexcept override;
  void give_turn(Unwinds unwinds);  // now, unless the running code is one that must not be interrupted
  void begin_turn(const Runnable& of) noexcept { acts_left = of.acts; }

  // --- rounds -------------------------------------------------------------------------------------------------------------

  // Whoever comes next when that takes no more than a look; null when next_round() is to find out.
  inline Runnable* next_at_once() noexcept;
  // The conductor's choice in a test world.
  Runnable& next_round() noexcept;
  // All that is to run in the next round becomes ready: for the conductor, who then takes one.
  void gather_for_conductor() noexcept;
  // Another runs, until somebody switches back.
  [[gnu::always_inline]] void switch_to(Runnable& from, Runnable& to) noexcept {
    begin_turn(to);
    life_.switcher.switch_to(from, to);
  }

  // --- Host ---------------------------------------------------------------------------------------------------------------

  void suspend(mothreads::internal::Context& context) noexcept override;
  void resume(mothreads::internal::Context& context) noexcept override;
  void add_timer(mothreads::internal::TimerNode& timer, std::int64_t when) noexcept override { life_.timers.add(timer, when); }
  void cancel_timer(mothreads::internal::TimerNode& timer) noexcept override { life_.timers.remove(timer); }
  const mothreads::Clock& clock() const noexcept override { return life_.timers.clock(); }
  [[noreturn]] void unwind(mothreads::internal::Context& context) override;
  void thread_ends() noexcept override { end(); }
  mothreads::internal::Simulation* simulation() noexcept override;

  // --- for io/ ------------------------------------------------------------------------------------------------------------

  // Made when first asked for. Throws std::system_error when the process has no more descriptors, mothreads::Misuse in a test world.
  Poller& poller() { return life_.poller != nullptr ? *life_.poller : make_poller(); }
  Poller* poller_or_null() const noexcept { return life_.poller.get(); }
  // Other threads ring the bell while this one waits for descriptors, here or in somebody else's loop.
  int hang_bell() { return inbox_.bell().hang(); }
  void take_down_bell() noexcept { inbox_.bell().take_down(); }
  void still_bell() noexcept { inbox_.bell().set(false); }

  using Service = internal::Service;
  std::unique_ptr<Service>& service(const ServiceKind& kind) { return life_.services.of(kind); }

  bool has_io_waits() const noexcept { return io_waits_ != 0; }
  void add_io_waits(std::ptrdiff_t fibers) noexcept { io_waits_ += static_cast<std::size_t>(fibers); }  // fewer, where it is negative
  void cancel(FiberBlock& fiber) { Stopping::cancel(fiber); }
  std::int64_t deadline_in_force() const noexcept { return life_.stopping.deadline_in_force(); }
  std::uint64_t tells() const noexcept { return life_.stopping.tells(); }  // for tests

 private:
  static SchedulerCore& make_for_this_thread();
  void end_life() noexcept;
  void end_fibers();
  Poller& make_poller();

  COOPERATIVE_INLINED void suspend_running() noexcept;
  void unwind_if_due();
  void gather() noexcept;
  void look() noexcept;
  void sleep() noexcept;
  void sleep_in_poller(const std::optional<mothreads::Instant>& deadline) noexcept;

  static inline constinit thread_local SchedulerCore* current_ = nullptr;
  static inline constinit thread_local std::uint64_t current_life_ = 0;

  union {
    SchedulerLife life_;  // from begin() to end_life()
  };
  std::size_t io_waits_ = 0;  // so many fibers wait for a descriptor
  bool has_life_ = false;
  std::atomic<std::uint64_t> number_of_life_{0};  // relaxed: others only compare it with one that they had from its thread
  BlockPool blocks_;
  SignalStack signal_stack_;
  Inbox inbox_;  // what other threads touch, in lines of its own
};

// --- what every wait goes through ------------------------------------------------------------------------------------------------

inline Runnable* SchedulerCore::next_at_once() noexcept {
  if (Runnable* next = life_.queue.pop_in_round_ahead()) return next;
  if (!inbox_.is_empty() || life_.callbacks.may_have_calls()) return nullptr;
  if (!life_.timers.is_empty() || io_waits_ != 0) {
    if (!life_.timers.skips_question()) return nullptr;
  } else if (Timers::may_lack_stamp(life_.queue.rounds())) [[unlikely]] {
    return nullptr;
  }
  return life_.queue.begin_round_at_once();
}

inline void SchedulerCore::suspend_running() noexcept {
  Runnable& from = running();
  Runnable* to = next_at_once();
  if (to == nullptr) [[unlikely]] to = &next_round();
  if (!to->has_begun) [[unlikely]] to = &prepared(*this, *to, from);
  if (to != &from) [[likely]] {
    switch_to(from, *to);
  } else {
    begin_turn(from);  // a round that only this one had is a pause, too
  }
}

template <typename... Limit>
inline mothreads::Why SchedulerCore::wait(mothreads::internal::WaitList& list, mothreads::internal::WaitNode& node,
                                          mothreads::internal::HostedWait what, const Limit&... limit) {
  mothreads::internal::Context& context = *running().context;
  if (context.needs_care()) [[unlikely]] return wait_with_care(list, node, what, start(limit)...);
  const bool is_limited = (!limit.is_never() || ...);
  RoomForLimit room;
  if constexpr (sizeof...(limit) > 0) {
    if (is_limited && !life_.timers.set_limit(room, node, limit..., context.clock)) [[unlikely]] {
      return wait_with_care(list, node, what, start(limit)...);
    }
  }
  node.arm(context, context.begin_sleep_on_host(what, wait_stamp), mothreads::Why::ready);
  mothreads::internal::WaitNode* linked = &node;
  asm("" : "+r"(linked));  // gcc would warn that it stays in the list: it does not see who takes it out
  list.push_back(*linked);
  suspend_running();
  if (is_limited) life_.timers.remove(room.limit);
  const mothreads::Why why = context.outcome();
  if (why != mothreads::Why::ready) [[unlikely]] {
    if (leave_interrupted(list, node)) throw FiberCancelled();
  }
  return why;
}

COOPERATIVE_INLINED void SchedulerCore::yield() {
  // Who is to be unwound has no acts, nor have some others. Its context is not looked at: that would be one more line of the cache.
  if (acts_left <= 0) [[unlikely]] unwind_if_due();
  life_.queue.push_yielded(running());
  suspend_running();
  if (acts_left <= 0) [[unlikely]] unwind_if_due();
}

}  // namespace cooperative::internal
