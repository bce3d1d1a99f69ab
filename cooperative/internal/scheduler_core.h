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

#include <algorithm>
#include <array>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "cooperative/errors.h"
#include "cooperative/internal/bell.h"
#include "cooperative/internal/conductor.h"
#include "cooperative/internal/fiber_block.h"
#include "cooperative/internal/group_place.h"
#include "cooperative/internal/mailbox.h"
#include "cooperative/internal/near_clock.h"
#include "cooperative/internal/overflow_report.h"
#include "cooperative/internal/runnable.h"
#include "cooperative/internal/sanitizers.h"
#include "cooperative/internal/stack_marks.h"
#include "cooperative/internal/stacks.h"
#include "cooperative/internal/switch.h"
#include "mothreads/clock.h"
#include "mothreads/contexts/host.h"
#include "mothreads/contexts/timer_wheel.h"
#include "mothreads/contexts/wait.h"
#include "mothreads/posted.h"
#include "mothreads/until.h"

namespace mothreads::internal {
class ThreadContext;
}

namespace cooperative::internal {

class ForeignPoll;
class FiberPicture;
class Poller;
struct FiberCamera;
class SchedulerNode;

// Cancels a fiber and all that run under it, or all of a scheduler, when a stop's deadline comes.
struct CancelTimer : mothreads::internal::TimerNode {
  CancelTimer(SchedulerCore& its_core, FiberBlock* its_top) : TimerNode(kOps), core(its_core), top(its_top) {}
  static const mothreads::internal::TimerOps kOps;

  SchedulerCore& core;
  FiberBlock* const top;  // null for all
};

// First in, first out; linked through `next`.
template <typename T>
class Fifo {
 public:
  bool is_empty() const noexcept { return first_ == nullptr; }
  T* first() const noexcept { return first_; }
  void push_back(T& item) noexcept {
    item.next = nullptr;
    if (first_ == nullptr) {
      first_ = &item;
    } else {
      last_->next = &item;
    }
    last_ = &item;
  }
  void push_front(T& item) noexcept {
    item.next = first_;
    if (first_ == nullptr) last_ = &item;
    first_ = &item;
  }
  // All of `other`, when this one is empty.
  void take(Fifo& other) noexcept {
    first_ = other.first_;
    last_ = other.last_;
    other.first_ = nullptr;
  }
  T* pop_front() noexcept {
    T* item = first_;
    if (item != nullptr) first_ = static_cast<T*>(item->next);
    return item;
  }
  void append(Fifo& other) noexcept {
    if (other.first_ == nullptr) return;
    if (first_ == nullptr) {
      first_ = other.first_;
    } else {
      last_->next = other.first_;
    }
    last_ = other.last_;
    other.first_ = nullptr;
  }

 private:
  T* first_ = nullptr;
  T* last_ = nullptr;
};

struct SchedulerCounts {
  std::uint64_t switches = 0;
  std::uint64_t rounds = 0;
  std::uint64_t sleeps = 0;
  std::uint64_t wakes = 0;  // system calls of other threads to wake it
};

// The C++ ABI's own picture of it (Itanium C++ ABI: Exception Handling, 2.2.2).
struct EhGlobals {
  void* caught_exceptions;
  unsigned int uncaught_exceptions;
};

// So many operations on descriptors that are ready may follow each other before others have a turn: shrapnel's figure.
inline constexpr std::uint32_t kDefaultSelfishness = 4;
// Such an operation is a call of the kernel, and takes as long as so many verbs that find what they need in memory.
inline constexpr std::int32_t kActsPerOperation = 64;

// So many have room in the address space: a stack takes 80 KiB of it with its guard, unless another size was asked for.
inline constexpr std::size_t kDefaultMaxFibers = std::size_t{1} << 24;

class SchedulerCore final : public mothreads::internal::Host {
 public:
  // The calling thread's; made at the first call. Cores are recycled, never freed: a thread that posts to one may still look at it
  // after it has ended.
  static SchedulerCore& current() {
    SchedulerCore* core = current_;
    return core != nullptr ? *core : make_for_this_thread();
  }
  static SchedulerCore* current_or_null() noexcept { return current_; }

  SchedulerCore(const SchedulerCore&) = delete;
  SchedulerCore& operator=(const SchedulerCore&) = delete;

  // --- fibers: on its own thread -----------------------------------------------------------------------------------------

  // Throws FiberLimit when there are as many as may be.
  void check_limit(std::string_view name) const {
    if (fibers_ >= max_fibers_) [[unlikely]] refuse_fiber(name);
  }
  // A block that is not in use, with `name`.
  FiberBlock& make_fiber(std::string_view name, FiberBlock* parent);
  // For the fiber that runs: below it, within the limit. Throws FiberLimit.
  COOPERATIVE_FLATTENED FiberBlock& make_fiber(std::string_view name);
  void start(FiberBlock& fiber) noexcept { ready_.push_back(fiber.runnable); }
  // Inside this call, until it waits or ends; who called goes on then, before anybody else.
  COOPERATIVE_FLATTENED void start_at_once(FiberBlock& fiber) noexcept;
  void tell_if_late(FiberBlock& fiber);  // to stop, when those below its parent have been told before it came
  // A fiber that nobody owns, for work of the library's own that may run users' code. No limit is counted.
  FiberBlock& make_helper(std::string_view name, FiberBlock* parent) noexcept;
  void start_helper(FiberBlock& helper, const FiberBlock::Job& job, void* job_self) noexcept;
  // The function could not be put in place.
  void unmake_fiber(FiberBlock& fiber) noexcept;

  // The handle's end of it.
  template <std::same_as<mothreads::Until>... Limit>
  COOPERATIVE_INLINED mothreads::Why join(FiberBlock& fiber, const Limit&... until);
  void stop(FiberBlock& fiber);
  void cancel(FiberBlock& fiber);
  void interrupt(mothreads::internal::Context& context) noexcept;  // which something wants to unwind
  // Its unwind_wanted is another: while it is true the next verb unwinds it, whatever is ready.
  void unwinding_changed(mothreads::internal::Context& context) noexcept;
  COOPERATIVE_FLATTENED void let_go(FiberBlock& fiber);  // nobody will take the result; for one that has ended: recycles it
  void stop_and_wait(FiberBlock& fiber) noexcept;
  mothreads::Signal stopped_signal(FiberBlock& fiber);
  // Throws Misuse when who runs would wait for itself. True when it is the fiber itself, whose function has ended: what runs are functions of
  // its end, for which it is over.
  bool check_join(const FiberBlock& fiber) const;
  bool is_over(const FiberBlock& fiber) const noexcept {
    return fiber.state == FiberBlock::State::ended || (&fiber == running_fiber() && fiber.state > FiberBlock::State::begun);
  }
  // The handle of a fiber of a scheduler that has ended, on any thread.
  void let_go_after_end(FiberBlock& fiber) noexcept;

  // Groups of fibers: groups.cc.
  void open_group(GroupPlace& group);            // below the fiber that runs
  void stop_group(GroupPlace& group);            // tells the members
  void close_group(GroupPlace& group) noexcept;  // tells them, waits for them, and takes its place away; nothing when that is done
  mothreads::Ended await_members(GroupPlace& group, const mothreads::Until& until);
  // Who runs is a member whose function has ended: what it still does is its end, for which nobody waits any more. It leaves the group.
  void step_out(GroupPlace& group) noexcept;
  bool runs_below(const FiberBlock& ancestor) const noexcept {
    const FiberBlock* me = running_fiber();
    return me != nullptr && is_below(*me, ancestor);
  }

  // The fiber that runs; null for the thread's own stack.
  FiberBlock* running_fiber() const noexcept {
    return running_->is_fiber ? static_cast<FiberBlock*>(running_->context) : nullptr;
  }
  // Below which a fiber that is made now belongs: who runs. Where that are functions of a fiber's end, it is the next above that lives on.
  FiberBlock* parent_for_new() const noexcept {
    FiberBlock* const fiber = running_fiber();
    return fiber == nullptr || fiber->state == FiberBlock::State::begun ? fiber : next_above(fiber);
  }
  std::size_t fibers() const noexcept { return fibers_; }
  void set_max_fibers(std::size_t count) noexcept { max_fibers_ = count; }

  // --- stacks -------------------------------------------------------------------------------------------------------------

  // For callbacks, and those of a callback_result(); 0 for the default.
  void set_callback_stack_size(std::size_t bytes) noexcept { callback_stack_size_ = bytes; }
  void give_callback_stack(FiberBlock& fiber) const noexcept {
    fiber.stack_size = callback_stack_size_;
    fiber.stack_option = FiberBlock::StackOption::of_callbacks;
  }
  void set_stack_checks(bool on) noexcept { checks_stacks_ = on; }
  const StackMarks& stack_marks() const noexcept { return stack_marks_; }

  struct Overflow {
    const Stack* stack;     // null when it was none
    std::string_view name;  // of the fiber that runs
    bool is_leaving;        // it was not that one: it was about to switch to it
    std::string_view option;  // by which such a fiber gets a larger one
  };
  // For a signal handler, on its own thread: what a fault at `address` was, with the stack pointer there.
  Overflow find_overflow(const void* address, const void* stack_pointer) const noexcept;

  // --- waiting ------------------------------------------------------------------------------------------------------------

  COOPERATIVE_INLINED void yield();  // behind all that is ready
  void yield_in_round();             // behind all that is ready in this round, before those that yield in it
  mothreads::Ended yield_until_idle(const mothreads::Until& until);  // until nothing else is ready
  bool is_its_thread() const noexcept { return current_ == this; }

  // A core serves one thread after the other: the number of the thread that it serves, which no core has had before.
  std::uint64_t life() const noexcept { return life_.load(std::memory_order_relaxed); }
  static bool is_current(std::uint64_t life) noexcept { return current_life_ == life; }
  // Whether it still serves that one; any thread may ask.
  bool lives(std::uint64_t life) const noexcept { return this->life() == life; }
  // The time of its clock, or a little later.
  mothreads::Instant not_before_now() noexcept { return near_clock_.not_before_now(*clock_); }
  // From where a limit, or a timer, of so many nanoseconds counts. What is due at its call counts from a time that has come already. What is
  // due soon counts from the clock itself: the near clock may be late by more than that.
  mothreads::Instant now_for(std::int64_t nanoseconds) noexcept {
    if (nanoseconds <= 0) return near_clock_.not_after_now(*clock_);
    if (nanoseconds >= kSoon) [[likely]] return not_before_now();
    const mothreads::Instant now = clock_->now();
    not_before_now();  // add_near_timer() compares with the latest of these
    return now;
  }

  // Waits in `list`, whose other users are its fibers alone, until one of them takes the node out and ends the wait, or the limit
  // comes. `node` need not be armed. `verb` is a literal. Without an Until, where none is given: the compiler would keep one on the stack, and
  // look at it after the switch.
  template <std::same_as<mothreads::Until>... Limit>
  COOPERATIVE_INLINED mothreads::Why wait(mothreads::internal::WaitList& list, mothreads::internal::WaitNode& node,
                                          const char* verb, const Limit&... until);
  // Ends the wait of a node that was claimed.
  void end_wait(mothreads::internal::WaitNode& node, mothreads::Why why) noexcept {
    mothreads::internal::Context& context = node.context();
    if (context.finish_by_host(why)) ready_.push_back(runnable_of(context));
  }

  // --- descriptors --------------------------------------------------------------------------------------------------------

  // Made when first asked for. Throws std::system_error when the process has no more descriptors, mothreads::Misuse in a test world.
  Poller& poller() { return poller_ != nullptr ? *poller_ : make_poller(); }
  Poller* poller_or_null() const noexcept { return poller_; }
  // What others ring while its thread waits for descriptors, here or in somebody else's loop.
  int hang_bell() { return bell_.hang(); }
  void take_down_bell() noexcept { bell_.take_down(); }
  void still_bell() noexcept { bell_.set(false); }

  // What serves the calls of its fibers that block, for io/: made there when first needed, ended with the scheduler after all fibers.
  struct Service {
    virtual ~Service() = default;
  };
  enum class ServiceOf : unsigned char { file_pool, file_ring };
  std::unique_ptr<Service>& service(ServiceOf which) noexcept { return services_[static_cast<std::size_t>(which)]; }

  // What every verb that may wait does first, of its own thread: see Context::spend_act(). The first is for those that find what they need
  // in memory, the second for operations on descriptors. When the running fiber has had so many without a pause that others should have a
  // turn, they have one.
  COOPERATIVE_INLINED void spend_act() {
    if (--acts_left < 0) [[unlikely]] end_turn(1, Unwinds::yes);
  }
  COOPERATIVE_INLINED void spend_operation() {
    if ((acts_left -= kActsPerOperation) < 0) [[unlikely]] end_turn(kActsPerOperation, Unwinds::yes);
  }
  std::uint32_t selfishness() const noexcept { return selfishness_; }
  void set_selfishness(std::uint32_t operations) noexcept;
  std::uint32_t set_max_selfish_acts(std::uint32_t operations) noexcept;  // of the running fiber; gives what it was
  void end_turn(std::int32_t acts, Unwinds unwinds) override;
  void give_turn(Unwinds unwinds);  // now, unless the running code is one that must not be interrupted

  // --- Host ---------------------------------------------------------------------------------------------------------------

  void suspend(mothreads::internal::Context& context) noexcept override;
  void resume(mothreads::internal::Context& context) noexcept override;
  void add_timer(mothreads::internal::TimerNode& timer, std::int64_t when) noexcept override {
    not_before_now();
    add_near_timer(timer, when);
  }
  // The same for a time that was counted from not_before_now() just now.
  void add_near_timer(mothreads::internal::TimerNode& timer, std::int64_t when) noexcept {
    wheel_->add(timer, when);
    // By then no usual look may have come.
    if (when < near_clock_.latest().time_since_epoch().count() + kSoon) [[unlikely]] expect_soon(when);
  }
  void cancel_timer(mothreads::internal::TimerNode& timer) noexcept override { wheel_->remove(timer); }
  const mothreads::Clock& clock() const noexcept override { return *clock_; }
  [[noreturn]] void unwind(mothreads::internal::Context& context) override;
  void thread_ends() noexcept override { end(); }
  mothreads::internal::Simulation* simulation() noexcept override {
    return conductor_ == nullptr ? nullptr : &conductor_->simulation();
  }

  // --- calls from other threads ---------------------------------------------------------------------------------------------

  // Outlives the core's present life, for who keeps a handle.
  const std::shared_ptr<Mailbox>& mailbox() const noexcept { return mailbox_; }
  // Through the mailbox of one life of the core, from any thread. False when that is over: then the call has been dropped.
  bool post(Mailbox& mailbox, Call& call) noexcept;
  // The same for users' calls: `what` is what they call. Refused, it is still the caller's. In a test world throws mothreads::Misuse on a
  // foreign thread, and lets others run. A call that was taken may have taken away whatever its poster has.
  mothreads::Posted post_of_user(const std::shared_ptr<Mailbox>& mailbox, Call& call, const char* what);
  static void check_caller(const Mailbox& mailbox, const char* what);
  // Whether the fiber that runs is the one of the callbacks.
  bool is_in_callbacks() const noexcept { return calls_fiber_ != nullptr && calls_fiber_ == running_fiber(); }
  // A place where the order of threads matters, without a lock: in a test world others may run now. Elsewhere it is nothing.
  static void may_be_interrupted(const Mailbox& mailbox) noexcept {
    if (Conductor* const conductor = mailbox.conductor()) [[unlikely]] conductor->may_interrupt();
  }
  // After a post: from any thread, and from a signal handler.
  enum class Waker : bool { code, signal_handler };
  void wake_if_asleep(Waker waker = Waker::code) noexcept;

  // --- the end --------------------------------------------------------------------------------------------------------------

  // Tells all fibers to stop, newest first, in a fiber of its own; cancels at the deadline those that are left.
  void begin_stop(const std::optional<mothreads::Instant>& deadline) noexcept;
  std::uint64_t stops() const noexcept { return stops_; }  // so often all have been told
  std::uint64_t tells() const noexcept { return tells_; }  // for tests
  // By when whoever runs is to have stopped, in nanoseconds of the clock; FiberBlock::kNoDeadline when nobody has asked.
  std::int64_t deadline_in_force() const noexcept;
  // On its own thread, by its own stack: stops all fibers, waits for them, and takes the scheduler away.
  void end();

  // In the child of a fork() that the calling thread has made: forked.cc. The first for each core, before the second.
  void leave_if_others() noexcept;
  static void go_on_in_child() noexcept;
  [[noreturn]] static void end_forked_fiber() noexcept;

  SchedulerCounts counts() const noexcept;
  const SchedulerNode* node() const noexcept { return node_; }

  // For reports, on its own thread, in a signal handler that may have interrupted anything: what its fibers do.
  void take_picture(FiberPicture& picture) const noexcept;
  // The same in a test world, where whoever asks shares its thread.
  void take_picture_in_world(FiberPicture& picture) const noexcept;

 private:
  friend class ForeignPoll;
  friend class Poller;
  friend struct CancelTimer;
  friend class FiberWatch;
  friend class SchedulerNode;
  friend class WorldCore;

  SchedulerCore();
  static SchedulerCore& make_for_this_thread();
  static SchedulerCore& take_recycled();
  void begin(Conductor* conductor);
  void add_node();
  bool carries_its_thread() const noexcept;
  void leave_thread() noexcept;
  void recycle();
  void leave_fibers_behind() noexcept;
  static void leave_behind(FiberBlock& fiber) noexcept;
  void leave_parents_things() noexcept;
  void become_root() noexcept;
  void take_late_blocks() noexcept;

  // Never ready at a time; taken out of the inbox in order.
  void post(Posted& posted) noexcept;
  void take_posted() noexcept;
  void take_calls() noexcept;
  void start_runners() noexcept;
  void run_calls();
  void start_stopper() noexcept;
  void run_errands() noexcept;
  void start_helper(std::string_view name, const FiberBlock::Job& job) noexcept;  // job_self is the core
  const std::atomic<std::uint32_t>* inbox_futex() const noexcept;
  // Marks in the inbox: it has nothing, and its thread waits.
  static Posted* asleep() noexcept { return reinterpret_cast<Posted*>(std::uintptr_t{1}); }
  static Posted* polled() noexcept { return reinterpret_cast<Posted*>(std::uintptr_t{2}); }  // for descriptors: ring the bell
  static bool is_mark(const Posted* posted) noexcept { return posted == asleep() || posted == polled(); }
  void wake(const Posted* mark, Waker waker = Waker::code) noexcept;  // whose mark was taken away

  Runnable& runnable_of(mothreads::internal::Context& context) noexcept {
    return &context == root_->context ? *root_ : static_cast<FiberBlock&>(context).runnable;
  }
  // The limit of a wait that is nothing but so long from the call, the usual one; set_limit() says whether it is, and makes it.
  struct TimeLimit : mothreads::internal::TimerNode {
    TimeLimit(mothreads::internal::WaitNode& its_node) : TimerNode(kOps), node(its_node) {}
    static const mothreads::internal::TimerOps kOps;
    mothreads::internal::WaitNode& node;
  };
  union RoomForLimit {
    RoomForLimit() {}
    TimeLimit limit;
  };
  bool set_limit(RoomForLimit& room, mothreads::internal::WaitNode& node, const mothreads::Until& until) noexcept;
  mothreads::Why wait_with_care(mothreads::internal::WaitList& list, mothreads::internal::WaitNode& node, const char* verb,
                                const mothreads::Until& until);
  // Of a wait without a limit, which nothing has to be kept of.
  mothreads::Why wait_with_care(mothreads::internal::WaitList& list, mothreads::internal::WaitNode& node, const char* verb);
  // True when whoever waited is to be unwound. It throws FiberCancelled itself: each function between would cost the unwinder as much as
  // a fiber's whole life.
  bool leave_interrupted(mothreads::internal::WaitList& list, mothreads::internal::WaitNode& node) noexcept;
  static void prepare_unwinding(mothreads::internal::Context& context) noexcept;
  void unwind_if_due();

  COOPERATIVE_INLINED void suspend_running() noexcept;
  inline Runnable* next_at_once() noexcept;
  Runnable& next_round() noexcept;
  void gather() noexcept;
  void gather_for_conductor() noexcept;
  // So long it may take to the next look at the timers while fibers run, in nanoseconds.
  static constexpr std::int64_t kSoon = 100'000;
  void expect_soon(std::int64_t when) noexcept {
    next_due_ = std::min(next_due_, when);
    rounds_to_check_ = rounds_per_check_ = 1;
  }
  bool look_is_due() noexcept;
  void look() noexcept;
  Poller& make_poller();
  void sleep_in_poller(const std::optional<mothreads::Instant>& deadline) noexcept;
  struct Alarm;
  void sleep() noexcept;
  COOPERATIVE_FLATTENED Runnable& prepared(Runnable& next, Runnable& from) noexcept;
  [[gnu::always_inline]] inline void switch_to(Runnable& from, Runnable& to) noexcept;
  [[gnu::always_inline]] inline void leave_for_good(Stack& stack, Runnable& next) noexcept;
  [[gnu::always_inline]] inline void arrive(void* fake_stack) noexcept;
  // The stack of the fiber that ended last: not on that stack itself, so not as long as nobody was switched to.
  void give_back_ended() noexcept {
    if (ended_stack_ != nullptr) stacks_->give_back(*std::exchange(ended_stack_, nullptr));
  }
  COOPERATIVE_FLATTENED static void run_fibers(void* core) noexcept;
  void run(FiberBlock& fiber) noexcept;
  void end_function(FiberBlock& fiber) noexcept;
  [[noreturn]] void end_forced(FiberBlock& fiber) noexcept;
  [[noreturn]] void leave_forced(Stack& stack, Runnable& next) noexcept;
  void finish(FiberBlock& fiber) noexcept;
  [[gnu::noinline]] void finish_with_care(FiberBlock& fiber) noexcept;
  void mark_ended(FiberBlock& fiber) noexcept;
  void let_go_with_care(FiberBlock& fiber);
  void recycle(FiberBlock& fiber) noexcept;
  bool prepare(FiberBlock& fiber) noexcept;
  Stack* find_stack(FiberBlock& fiber) noexcept;  // null when there is none to have
  [[gnu::noinline]] void make_blocks();
  [[noreturn]] void refuse_fiber(std::string_view name) const;
  FiberBlock& take_block(std::string_view name);
  static FiberBlock* heir_of(const FiberBlock& fiber) noexcept;
  static FiberBlock* next_above(FiberBlock* fiber) noexcept;
  void hand_to(FiberBlock& fiber, FiberBlock* heir) noexcept;
  void tell_of_end(FiberBlock& fiber, const ParentRef& parent, const std::shared_ptr<GroupPlace>& group, bool failed) noexcept;
  std::shared_ptr<GroupPlace> report_failure(FiberBlock& fiber) noexcept;  // that has got it, if one has
  void member_ended(GroupPlace& group, bool failed) noexcept;
  void drop_job(FiberBlock& fiber) noexcept;
  void mark_stack(const FiberBlock& fiber) noexcept;
  // What a Runnable keeps of them is empty while it runs.
  void load_exceptions(Runnable& to) noexcept {
    EhGlobals& globals = *eh_globals_;
    globals.caught_exceptions = std::exchange(to.caught_exceptions, nullptr);
    globals.uncaught_exceptions = std::exchange(to.uncaught_exceptions, 0u);
  }
  void swap_exceptions(Runnable& from, Runnable& to) noexcept;
  // Few fibers wait with one.
  bool has_exceptions(const Runnable& to) const noexcept {
    const EhGlobals& globals = *eh_globals_;
    return (reinterpret_cast<std::uintptr_t>(globals.caught_exceptions) | reinterpret_cast<std::uintptr_t>(to.caught_exceptions) |
            globals.uncaught_exceptions | to.uncaught_exceptions) != 0;
  }

  void link_newest(FiberBlock& child, FiberBlock* parent) noexcept;
  void link_child(FiberBlock& child, FiberBlock* parent) noexcept;
  void unlink_child(FiberBlock& child) noexcept;
  void leave_siblings(FiberBlock& child) noexcept;
  [[gnu::noinline]] void leave_group(GroupPlace& group) noexcept;
  void stop_children(FiberBlock& fiber) noexcept;
  static bool is_below(const FiberBlock& fiber, const FiberBlock& ancestor) noexcept;
  enum class Tell : bool { those_below, all };
  void tell(FiberBlock* top, Tell whom);
  FiberBlock* newest_before(std::uint64_t end, const FiberBlock* parent) const noexcept;
  FiberBlock* first_to_tell(FiberBlock& fiber, std::uint64_t end) noexcept;
  FiberBlock* next_to_tell(FiberBlock& told, const FiberBlock* top, Tell whom, std::uint64_t end) noexcept;
  void tell_one(FiberBlock& fiber, std::uint64_t late_before);
  void note_untold(const FiberBlock& child) noexcept;
  void settle_deadline(FiberBlock& fiber) noexcept;
  void settle_deadline_of_all(const std::optional<mothreads::Instant>& deadline) noexcept;
  bool has_passed(std::int64_t deadline) const noexcept;
  void watch(FiberBlock& fiber, std::int64_t deadline) noexcept;
  void end_watch(FiberBlock& fiber) noexcept;
  void cancel_with_all_below(FiberBlock* top) noexcept;
  bool is_switching(const void* here) const noexcept;
  void fill_picture(FiberPicture& picture, const FiberCamera& camera) const noexcept;
  void name_joined(FiberPicture& picture) const noexcept;

  static void set_current(SchedulerCore* core) noexcept {
    current_ = core;
    current_life_ = core == nullptr ? 0 : core->life();
    mothreads::internal::Context::set_turn_here(core);
  }
  void begin_turn(const Runnable& of) noexcept { acts_left = of.acts; }
  void set_acts(Runnable& of) const noexcept;

  static inline constinit thread_local SchedulerCore* current_ = nullptr;
  static inline constinit thread_local std::uint64_t current_life_ = 0;

  // What every switch touches.
  std::int32_t acts_per_turn_ = 0;
  Runnable* running_ = nullptr;
  Fifo<Runnable> batch_;  // the rest of this round
  Fifo<Runnable> ready_;  // for the next
  EhGlobals* eh_globals_ = nullptr;
  std::uint64_t switches_ = 0;

  // Rounds.
  Fifo<Runnable> yielded_;
  mothreads::internal::WaitList until_idle_;
  std::uint32_t rounds_to_check_ = 1;  // so many to the next question whether a look is due
  std::uint32_t rounds_per_check_ = 1;
  std::uint32_t rounds_since_look_ = 0;
  std::uint64_t last_check_ticks_ = 0;
  std::uint64_t last_look_ticks_ = 0;
  NearClock near_clock_;
  std::uint64_t rounds_ = 0;
  std::uint64_t sleeps_ = 0;
  std::optional<mothreads::internal::TimerWheel> wheel_;  // of this life of the core
  std::int64_t next_due_ = mothreads::internal::TimerWheel::kNever;  // of a timer that will not wait for the next usual look
  mothreads::Clock* clock_ = nullptr;

  // Descriptors.
  Poller* poller_ = nullptr;   // of this life of the core; owned
  std::array<std::unique_ptr<Service>, 2> services_;
  std::size_t io_waits_ = 0;   // so many fibers wait for one
  bool just_polled_ = false;   // in the sleep before this round
  std::uint32_t selfishness_ = kDefaultSelfishness;

  // Fibers.
  FiberBlock* free_blocks_ = nullptr;
  std::size_t blocks_ = 0;  // made so far
  FiberBlock* newest_ = nullptr;  // children of the root
  std::size_t fibers_ = 0;
  std::size_t finishing_ = 0;  // so many have ended, and run functions of users that are to know
  std::size_t max_fibers_ = kDefaultMaxFibers;
  std::uint64_t next_id_ = 1;
  mothreads::internal::WaitList no_fibers_waiters_;
  std::uint64_t unlinked_ = 0;                            // so many have left their place in the tree
  std::atomic<bool> tree_changes_{false};                 // only a signal handler on the same thread looks
  std::int64_t stop_deadline_ = FiberBlock::kNoDeadline;  // of all fibers
  std::uint64_t stops_ = 0;
  std::uint64_t late_ = 0;   // so many have come below somebody who had been told
  std::uint64_t tells_ = 0;  // so many fibers and groups all walks have told, or found told
  bool all_told_ = false;    // with the last stop of all, and none has come since
  std::size_t told_at_stop_ = 0;  // so many fibers there were at the first of them
  CancelTimer stop_timer_{*this, nullptr};
  std::optional<Stacks> stacks_;  // of this life of the core
  Stack* ended_stack_ = nullptr;  // of a fiber that has switched away for good; to be given back
  StackMarks stack_marks_;        // likewise
  bool checks_stacks_ = false;
  std::size_t callback_stack_size_ = 0;
  FloatingPoint floating_point_;  // of the code that made the scheduler; its own fibers begin with that
  SignalStack signal_stack_;
  alignas(64) std::byte root_room_[sizeof(Runnable)];
  Runnable* root_ = nullptr;
  mothreads::internal::ThreadContext* spinner_ = nullptr;  // the root's context, but for a fiber that is the root of a fork()'s child
  const void* root_lowest_ = nullptr;  // for the sanitizers
  std::size_t root_size_ = 0;
  void* root_tsan_fiber_ = nullptr;
  SchedulerNode* node_ = nullptr;
  Conductor* conductor_ = nullptr;  // in a test world
  ForeignPoll* foreign_poll_ = nullptr;
  std::shared_ptr<Mailbox> mailbox_;  // of this life of the core
  Calls calls_;                       // taken from it
  Calls errands_;                     // likewise
  SpentCalls spent_;
  std::atomic<std::uint64_t> life_{0};  // relaxed: others only compare it with one that they had from its thread
  FiberBlock* late_blocks_ = nullptr;   // given back after the scheduler's end; guarded by the mutex of the recycled
  bool calls_run_ = false;  // a fiber is at them
  const FiberBlock* calls_fiber_ = nullptr;  // that fiber, once it has begun
  bool errands_run_ = false;
  bool ending_ = false;

  // What other threads touch, in lines of its own.
  alignas(64) std::atomic<Posted*> inbox_{nullptr};  // newest first; or a mark
  std::atomic<std::uint64_t> wakes_{0};
  Bell bell_;
};

// --- what every wait goes through ------------------------------------------------------------------------------------------------

inline void SchedulerCore::arrive(void* fake_stack) noexcept {
  if constexpr (kAsan) {
    const void* left = nullptr;
    std::size_t size = 0;
    asan_arrive(fake_stack, &left, &size);
    if (root_lowest_ == nullptr) {  // the first switch came from the root
      root_lowest_ = left;
      root_size_ = size;
    }
  }
}

inline void SchedulerCore::switch_to(Runnable& from, Runnable& to) noexcept {
  ++switches_;
  running_ = &to;
  begin_turn(to);
  mothreads::internal::Context::set_current(to.context);
  if (has_exceptions(to)) [[unlikely]] swap_exceptions(from, to);
  if constexpr (kAsan || kTsan) {
    if (to.stack != nullptr) {
      asan_leave(&from.asan_fake_stack, to.stack->lowest, static_cast<std::size_t>(to.stack->top - to.stack->lowest));
      tsan_switch(to.stack->tsan_fiber);
    } else {
      asan_leave(&from.asan_fake_stack, root_lowest_, root_size_);
      tsan_switch(root_tsan_fiber_);
    }
  }
  switch_stack(&from.stack_pointer, to.stack_pointer);
  arrive(from.asan_fake_stack);
}

// Whoever comes next when that takes no more than a look; null when next_round() is to find out.
inline Runnable* SchedulerCore::next_at_once() noexcept {
  if (Runnable* next = batch_.pop_front()) {
    if (Runnable* after = batch_.first()) {
      __builtin_prefetch(after->stack_pointer);
      __builtin_prefetch(after->next);
    }
    return next;
  }
  // relaxed: only whether there is something; whoever takes it acquires it.
  if (inbox_.load(std::memory_order_relaxed) != nullptr || mailbox_->may_have_calls()) return nullptr;
  if (!wheel_->is_empty() || io_waits_ != 0) {
    if (rounds_to_check_ <= 1) return nullptr;
    --rounds_to_check_;
  }
  if (ready_.is_empty()) {
    if (yielded_.is_empty()) return nullptr;
    batch_.take(yielded_);
  } else {
    ready_.append(yielded_);
    batch_.take(ready_);
  }
  ++rounds_;
  return batch_.pop_front();
}

inline void SchedulerCore::suspend_running() noexcept {
  Runnable& from = *running_;
  Runnable* to = next_at_once();
  if (to == nullptr) [[unlikely]] to = &next_round();
  if (!to->has_begun) [[unlikely]] to = &prepared(*to, from);
  if (to != &from) [[likely]] {
    switch_to(from, *to);
  } else {
    begin_turn(from);  // a round that only this one had is a pause, too
  }
}

template <std::same_as<mothreads::Until>... Limit>
inline mothreads::Why SchedulerCore::wait(mothreads::internal::WaitList& list, mothreads::internal::WaitNode& node, const char* verb,
                                          const Limit&... until) {
  mothreads::internal::Context& context = *running_->context;
  if (context.needs_care()) [[unlikely]] return wait_with_care(list, node, verb, until...);
  const bool is_limited = (!until.is_never() || ...);
  RoomForLimit room;
  if constexpr (sizeof...(until) > 0) {
    if (is_limited && !set_limit(room, node, until...)) [[unlikely]] return wait_with_care(list, node, verb, until...);
  }
  node.arm(context, context.begin_sleep_on_host(verb), mothreads::Why::ready);
  mothreads::internal::WaitNode* linked = &node;
  asm("" : "+r"(linked));  // gcc would warn that it stays in the list: it does not see who takes it out
  list.push_back(*linked);
  suspend_running();
  if (is_limited) wheel_->remove(room.limit);
  const mothreads::Why why = context.outcome();
  if (why != mothreads::Why::ready) [[unlikely]] {
    if (leave_interrupted(list, node)) throw FiberCancelled();
  }
  return why;
}

template <std::same_as<mothreads::Until>... Limit>
inline mothreads::Why SchedulerCore::join(FiberBlock& fiber, const Limit&... until) {
  if (fiber.state == FiberBlock::State::ended) return mothreads::Why::ready;
  if (running_->is_fiber && check_join(fiber)) return mothreads::Why::ready;
  mothreads::internal::WaitNode node;
  return wait(fiber.joiners, node, "waits for the end of fiber", until...);
}

COOPERATIVE_INLINED void SchedulerCore::yield() {
  // Who is to be unwound has no acts, nor have some others. Its context is not looked at: that would be one more line of the cache.
  if (acts_left <= 0) [[unlikely]] unwind_if_due();
  yielded_.push_back(*running_);
  suspend_running();
  if (acts_left <= 0) [[unlikely]] unwind_if_due();
}

}  // namespace cooperative::internal
