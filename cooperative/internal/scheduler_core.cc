#include "cooperative/internal/scheduler_core.h"

#include <cxxabi.h>
#include <x86intrin.h>

#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "absl/cleanup/cleanup.h"
#include "cooperative/errors.h"
#include "cooperative/internal/sanitizers.h"
#include "cooperative/internal/scheduler_node.h"
#include "cooperative/internal/switch.h"
#include "mothreads/contexts/futex.h"
#include "mothreads/contexts/spin.h"
#include "mothreads/contexts/thread_context.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"
#include "mothreads/until.h"

namespace cooperative::internal {

using mothreads::Ended;
using mothreads::Instant;
using mothreads::Signal;
using mothreads::Until;
using mothreads::Why;
using mothreads::internal::Context;
using mothreads::internal::NoUnwind;
using mothreads::internal::Ref;
using mothreads::internal::ThreadContext;
using mothreads::internal::TimerNode;
using mothreads::internal::TimerOps;
using mothreads::internal::TimerWheel;
using mothreads::internal::Wait;
using mothreads::internal::WaitNode;

// The C++ ABI's own picture of it (Itanium C++ ABI: Exception Handling, 2.2.2).
struct EhGlobals {
  void* caught_exceptions;
  unsigned int uncaught_exceptions;
};

namespace {

// Timers are looked at when so many rounds or so many ticks of the processor's counter have passed: it runs at 1 GHz or more, so
// that is 50 µs at most.
constexpr std::uint32_t kRoundsPerLook = 64;
constexpr std::uint64_t kTicksPerLook = 50'000;

struct Recycled {
  std::mutex mutex;
  std::vector<SchedulerCore*> cores;
};

Recycled& recycled() {
  static Recycled& instance = *new Recycled;  // outlives every thread
  return instance;
}

// Ends the scheduler of a thread that the shutdown tree does not end: one that the library does not know, or the main thread.
struct AtThreadEnd {
  ~AtThreadEnd() {
    SchedulerCore* core = SchedulerCore::current_or_null();
    if (core != nullptr && Context::current().is_root) core->end();  // exit() by a fiber: the shutdown tree reports it
  }
};

std::string_view name_of(const FiberBlock& fiber) { return fiber.own_name; }

void write_fiber_name(const void* fiber, char* buffer, std::size_t size) {
  std::snprintf(buffer, size, "%s", static_cast<const FiberBlock*>(fiber)->own_name.c_str());
}

}  // namespace

// --- life ------------------------------------------------------------------------------------------------------------------

SchedulerCore::SchedulerCore() = default;

SchedulerCore& SchedulerCore::make_for_this_thread() {
  thread_local AtThreadEnd at_end;
  static_cast<void>(at_end);
  Context& root = Context::current();
  if (root.must_not_block) throw mothreads::Misuse("a then() function on a thread of the library cannot have fibers: let it start a thread, or post to a scheduler");
  SchedulerCore* core = nullptr;
  {
    std::lock_guard lock(recycled().mutex);
    if (!recycled().cores.empty()) {
      core = recycled().cores.back();
      recycled().cores.pop_back();
    }
  }
  if (core == nullptr) core = new SchedulerCore;
  core->begin();
  return *core;
}

void SchedulerCore::begin() {
  Context& context = Context::current();
  clock_ = context.clock;
  wheel_.emplace(clock_->now().time_since_epoch().count());
  stacks_.emplace();
  root_ = new (root_room_) Runnable(context);
  root_->has_begun = true;
  root_tsan_fiber_ = current_tsan_fiber();
  root_lowest_ = nullptr;
  running_ = root_;
  eh_globals_ = reinterpret_cast<EhGlobals*>(abi::__cxa_get_globals());
  mailbox_ = std::make_shared<Mailbox>();
  ending_ = false;
  max_fibers_ = kDefaultMaxFibers;
  switches_ = rounds_ = sleeps_ = 0;
  wakes_.store(0, std::memory_order_relaxed);
  auto node = Ref<SchedulerNode>::adopt(new SchedulerNode(fmt::format("scheduler of {}", context.name), *this, *clock_));
  node->attach_to(mothreads::internal::parent_for_new());
  node_ = node.take();
  context.host = this;
  current_ = this;
}

void SchedulerCore::end() {
  NoUnwind whatever;
  ending_ = true;
  std::size_t withdrawn = mailbox_->close();
  while (Call* call = calls_.pop_front()) {
    call->withdraw();
    ++withdrawn;
  }
  if (withdrawn > 0) mothreads::log::warning("{} callbacks for {} were withdrawn: it ended before their turn", withdrawn, node_->name());
  while (fibers_ > 0) {
    tell_children(newest_);
    Wait wait({"waits for the fibers of its scheduler to end", nullptr, nullptr}, Wait::Spin::no, Context::Reach::host);
    WaitNode node(wait, Why::ready);
    no_fibers_waiters_.push_back(node);
    static_cast<void>(wait.park(Until()));
    no_fibers_waiters_.remove(node);
  }
  root_->context->host = nullptr;
  current_ = nullptr;
  stacks_.reset();
  const auto node = Ref<SchedulerNode>::adopt(std::exchange(node_, nullptr));
  node->mark_stopped();
  node->detach();
  // Whatever was posted too late is nobody's.
  inbox_.store(nullptr, std::memory_order_relaxed);
  std::lock_guard lock(recycled().mutex);
  recycled().cores.push_back(this);
}

// --- what other threads do ---------------------------------------------------------------------------------------------------

void SchedulerCore::post(Posted& posted) noexcept {
  // relaxed: the exchange below publishes, or fails and is done again.
  Posted* newest = inbox_.load(std::memory_order_relaxed);
  do {
    posted.next = newest == asleep() ? nullptr : newest;
    // release pairs with the acquire in take_posted().
  } while (!inbox_.compare_exchange_weak(newest, &posted, std::memory_order_release, std::memory_order_relaxed));
  if (newest != asleep()) return;
  wakes_.fetch_add(1, std::memory_order_relaxed);
  mothreads::internal::futex_wake(inbox_futex(), 1);
}

void SchedulerCore::take_posted() noexcept {
  Posted* newest = inbox_.exchange(nullptr, std::memory_order_acquire);  // pairs with the release in post()
  Posted* oldest = nullptr;
  while (newest != nullptr) {
    Posted* const next = newest->next;
    newest->next = oldest;
    oldest = newest;
    newest = next;
  }
  while (oldest != nullptr) {
    Posted& posted = *oldest;
    oldest = oldest->next;
    ready_.push_back(static_cast<Runnable&>(posted));
  }
}

void SchedulerCore::resume(Context& context) noexcept {
  Runnable& runnable = &context == root_->context ? *root_ : static_cast<FiberBlock&>(context).runnable;
  if (is_its_thread()) {
    ready_.push_back(runnable);
  } else {
    post(runnable);
  }
}

// A fiber of its own, because then() functions of the signals that go belong on no stack of somebody who waits.
void SchedulerCore::start_stopper() noexcept {
  static constexpr FiberBlock::Job kTellAll{
      .call =
          [](void* self) {
            auto& core = *static_cast<SchedulerCore*>(self);
            core.tell_children(core.newest_);
          },
      .drop_function = [](void*) noexcept {},
      .destroy = [](void*) noexcept {},
      .free = nullptr,
  };
  start_helper("stop of all fibers", kTellAll);
}

// A fiber that nobody owns, for work of the scheduler's own that may run users' code.
void SchedulerCore::start_helper(std::string_view name, const FiberBlock::Job& job) noexcept {
  FiberBlock& helper = make_fiber(name, nullptr);
  helper.job = &job;
  helper.job_self = this;
  start(helper);
}

void SchedulerCore::take_calls() noexcept {
  static constexpr FiberBlock::Job kRunCalls{
      .call = [](void* self) { static_cast<SchedulerCore*>(self)->run_calls(); },
      .drop_function = [](void*) noexcept {},
      .destroy = [](void*) noexcept {},
      .free = nullptr,
  };
  Call* call = mailbox_->take_all();
  while (call != nullptr) {
    Call& taken = *std::exchange(call, call->next);
    if (taken.is_urgent()) {
      taken.run();
    } else {
      calls_.push_back(taken);
    }
  }
  if (!calls_.is_empty() && !std::exchange(calls_run_, true)) start_helper("callbacks", kRunCalls);
}

// One after the other; one that waits keeps the later ones waiting. Others get their turn after so many.
void SchedulerCore::run_calls() {
  constexpr int kCallsPerTurn = 64;
  absl::Cleanup done = [this] { calls_run_ = false; };
  for (int count = 1; Call* call = calls_.pop_front(); ++count) {
    call->run();
    if (count % kCallsPerTurn == 0) yield();
  }
}

void SchedulerCore::wake_if_asleep() noexcept {
  // seq_cst: see Mailbox::post().
  Posted* newest = inbox_.load(std::memory_order_seq_cst);
  if (newest != asleep() || !inbox_.compare_exchange_strong(newest, nullptr, std::memory_order_seq_cst)) return;
  wakes_.fetch_add(1, std::memory_order_relaxed);
  mothreads::internal::futex_wake(inbox_futex(), 1);
}

// --- rounds ------------------------------------------------------------------------------------------------------------------

void SchedulerCore::suspend(Context&) noexcept {
  Runnable& from = *running_;
  Runnable* to = batch_.pop_front();
  if (to == nullptr) to = &next_round();
  if (to != &from) switch_to(from, *to);
}

void SchedulerCore::yield() {
  Runnable& from = *running_;
  if (from.context->must_unwind()) unwind(*from.context);
  yielded_.push_back(from);
  suspend(*from.context);
  if (from.context->must_unwind()) unwind(*from.context);
}

Ended SchedulerCore::yield_until_idle(const Until& until) {
  Wait wait({"waits until nothing else is ready", nullptr, nullptr}, Wait::Spin::no, Context::Reach::host);
  WaitNode node(wait, Why::ready);
  until_idle_.push_back(node);
  absl::Cleanup leave = [&] { until_idle_.remove(node); };
  return wait.park(until);
}

Runnable& SchedulerCore::next_round() noexcept {
  while (true) {
    ++rounds_;
    // relaxed: only whether there is something; take_posted() acquires it.
    if (inbox_.load(std::memory_order_relaxed) != nullptr) take_posted();
    if (mailbox_->has_calls()) take_calls();
    if (!wheel_->is_empty() && look_is_due()) look();
    ready_.append(yielded_);
    if (ready_.is_empty() && !until_idle_.is_empty()) {
      while (WaitNode* idler = until_idle_.claim_front_on_host()) idler->finish_on_host(Why::ready);
    }
    if (Runnable* first = ready_.pop_front()) {
      batch_.append(ready_);
      return *first;
    }
    sleep();
  }
}

bool SchedulerCore::look_is_due() noexcept {
  if (look_now_ || ready_.is_empty() || !clock_->is_real() || ++rounds_since_look_ >= kRoundsPerLook) return true;
  return __rdtsc() - last_look_ticks_ >= kTicksPerLook;
}

void SchedulerCore::look() noexcept {
  look_now_ = false;
  rounds_since_look_ = 0;
  last_look_ticks_ = __rdtsc();
  mothreads::internal::ExpiredTimers expired;
  wheel_->expire(clock_->now().time_since_epoch().count(), expired);
  while (TimerNode* timer = expired.pop_front()) {
    if (timer->ops->take(*timer)) timer->ops->fire(*timer);
  }
}

void SchedulerCore::add_timer(TimerNode& timer, std::int64_t when) noexcept {
  wheel_->add(timer, when);
  if (when == INT64_MIN) look_now_ = true;
}

void SchedulerCore::cancel_timer(TimerNode& timer) noexcept { wheel_->remove(timer); }

const std::atomic<std::uint32_t>* SchedulerCore::inbox_futex() const noexcept {
  static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && sizeof inbox_ == 8);
  return reinterpret_cast<const std::atomic<std::uint32_t>*>(&inbox_);
}

// Wakes a scheduler whose time passes by somebody's hand.
struct SchedulerCore::Alarm : TimerNode {
  explicit Alarm(SchedulerCore& its_core) : TimerNode(kOps), core(its_core) {}

  // Once taken, until it has rung.
  void await() const noexcept {
    while (!rang.load(std::memory_order_acquire)) mothreads::internal::spin_pause();  // pairs with fire()
  }

  static bool take(TimerNode&) { return true; }
  static void fire(TimerNode& node) {
    auto& alarm = static_cast<Alarm&>(node);
    SchedulerCore& core = alarm.core;
    Posted* asleep = SchedulerCore::asleep();
    const bool sleeps = core.inbox_.compare_exchange_strong(asleep, nullptr, std::memory_order_relaxed);
    alarm.rang.store(true, std::memory_order_release);  // the alarm may be gone now; the core stays
    if (sleeps) mothreads::internal::futex_wake(core.inbox_futex(), 1);
  }
  static const TimerOps kOps;

  SchedulerCore& core;
  std::atomic<bool> rang{false};
};

constexpr TimerOps SchedulerCore::Alarm::kOps{take, fire};

void SchedulerCore::sleep() noexcept {
  std::optional<Instant> deadline;
  if (const std::int64_t when = wheel_->next_wake(); when != TimerWheel::kNever) deadline = Instant(std::chrono::nanoseconds(when));
  auto& thread = static_cast<ThreadContext&>(*root_->context);
  if (clock_->is_real()) {
    if (thread.spin([this] { return inbox_.load(std::memory_order_relaxed) != nullptr || mailbox_->has_calls(); }, 1)) return;
  }
  Posted* nothing = nullptr;
  // seq_cst: who posts to the mailbox looks here afterwards, and this looks there.
  if (!inbox_.compare_exchange_strong(nothing, asleep(), std::memory_order_seq_cst)) return;
  if (mailbox_->has_calls()) {
    Posted* still = asleep();
    inbox_.compare_exchange_strong(still, nullptr, std::memory_order_relaxed);
    return;
  }
  ++sleeps_;
  constexpr auto kAsleep = static_cast<std::uint32_t>(std::uintptr_t{1});
  if (clock_->is_real() || !deadline) {
    mothreads::internal::futex_wait(inbox_futex(), kAsleep, deadline);
  } else {
    // The wheel's first time exactly: a look too early would find nothing, and this time does not pass by itself.
    Alarm alarm(*this);
    clock_->timers().add(alarm, wheel_->first_time());
    mothreads::internal::futex_wait(inbox_futex(), kAsleep, std::nullopt);
    if (!clock_->timers().cancel(alarm)) alarm.await();
  }
  Posted* still = asleep();
  inbox_.compare_exchange_strong(still, nullptr, std::memory_order_relaxed);
}

// --- switching ---------------------------------------------------------------------------------------------------------------

void SchedulerCore::save_exceptions(Runnable& from) noexcept {
  from.caught_exceptions = eh_globals_->caught_exceptions;
  from.uncaught_exceptions = eh_globals_->uncaught_exceptions;
}

void SchedulerCore::load_exceptions(const Runnable& to) noexcept {
  eh_globals_->caught_exceptions = to.caught_exceptions;
  eh_globals_->uncaught_exceptions = to.uncaught_exceptions;
}

void SchedulerCore::switch_to(Runnable& from, Runnable& next) noexcept {
  Runnable* to = &next;
  while (!to->has_begun && !prepare(static_cast<FiberBlock&>(*to->context))) {
    to = batch_.pop_front();
    if (to == nullptr) to = &next_round();
    if (to == &from) return;
  }
  ++switches_;
  running_ = to;
  Context::set_current(to->context);
  save_exceptions(from);
  load_exceptions(*to);
  if (Runnable* after = batch_.first()) {
    __builtin_prefetch(after->stack_pointer);
    __builtin_prefetch(after->next);
  }
  if (to->stack != nullptr) {
    asan_leave(&from.asan_fake_stack, to->stack->lowest, static_cast<std::size_t>(to->stack->top - to->stack->lowest));
    tsan_switch(to->stack->tsan_fiber);
  } else {
    asan_leave(&from.asan_fake_stack, root_lowest_, root_size_);
    tsan_switch(root_tsan_fiber_);
  }
  switch_stack(&from.stack_pointer, to->stack_pointer);
  arrive(from.asan_fake_stack);
}

void SchedulerCore::arrive(void* fake_stack) noexcept {
  if (kAsan) {
    const void* left = nullptr;
    std::size_t size = 0;
    asan_arrive(fake_stack, &left, &size);
    if (root_lowest_ == nullptr) {  // the first switch came from the root
      root_lowest_ = left;
      root_size_ = size;
    }
  }
  if (Stack* ended = std::exchange(ended_stack_, nullptr)) stacks_->give_back(*ended);
}

bool SchedulerCore::prepare(FiberBlock& fiber) noexcept {
  Stack* stack = nullptr;
  try {
    stack = &stacks_->take(fiber.stack_size == 0 ? kDefaultStackSize : fiber.stack_size, name_of(fiber));
  } catch (...) {
    // It ends with that error, on the stack of whoever was about to switch to it.
    fiber.failure = std::current_exception();
    fiber.outcome = FiberBlock::Outcome::threw;
    fiber.job->drop_function(fiber.job_self);
    finish(fiber);
    return false;
  }
  if (stack->tsan_fiber == nullptr) stack->tsan_fiber = make_tsan_fiber();
  asan_unpoison(stack->lowest, static_cast<std::size_t>(stack->top - stack->lowest));
  fiber.runnable.stack = stack;
  fiber.runnable.has_begun = true;
  fiber.runnable.stack_pointer = prepare_stack(stack->top, run_fibers, this);
  return true;
}

inline void SchedulerCore::leave_for_good(Stack& stack, Runnable& next) noexcept {
  Runnable* to = &next;
  while (!to->has_begun && !prepare(static_cast<FiberBlock&>(*to->context))) {
    to = batch_.pop_front();
    if (to == nullptr) to = &next_round();
  }
  ++switches_;
  running_ = to;
  ended_stack_ = &stack;
  Context::set_current(to->context);
  load_exceptions(*to);
  if (to->stack != nullptr) {
    asan_leave(nullptr, to->stack->lowest, static_cast<std::size_t>(to->stack->top - to->stack->lowest));
    tsan_switch(to->stack->tsan_fiber);
  } else {
    asan_leave(nullptr, root_lowest_, root_size_);
    tsan_switch(root_tsan_fiber_);
  }
  void* nowhere = nullptr;
  switch_stack(&nowhere, to->stack_pointer);
  __builtin_unreachable();
}

// All fibers' bottom. One that has ended leaves its stack to the next that has none yet: no switch, and no second stack.
void SchedulerCore::run_fibers(void* core_pointer) noexcept {
  auto& core = *static_cast<SchedulerCore*>(core_pointer);
  core.arrive(nullptr);
  while (true) {
    auto& fiber = static_cast<FiberBlock&>(*core.running_->context);
    core.run(fiber);
    Stack& stack = *fiber.runnable.stack;
    core.finish(fiber);
    Runnable* next = core.batch_.pop_front();
    if (next == nullptr) next = &core.next_round();
    if (!next->has_begun) {
      auto& fresh = static_cast<FiberBlock&>(*next->context);
      if ((fresh.stack_size == 0 ? kDefaultStackSize : fresh.stack_size) == stack.size) {
        next->stack = &stack;
        next->has_begun = true;
        core.running_ = next;
        Context::set_current(next->context);
        core.load_exceptions(*next);
        continue;
      }
    }
    core.leave_for_good(stack, *next);
  }
}

// --- fibers ------------------------------------------------------------------------------------------------------------------

FiberBlock& SchedulerCore::make_fiber(std::string_view name, FiberBlock* parent) {
  if (fibers_ >= max_fibers_) {
    throw FiberLimit(fmt::format("fiber \"{}\" cannot be made: its scheduler has {} already, as many as set_max_fibers() allows", name,
                                 fibers_));
  }
  if (free_blocks_ == nullptr) make_blocks();
  FiberBlock& fiber = *free_blocks_;
  fiber.own_name.assign(name);
  free_blocks_ = fiber.next_free;
  Context& maker = *running_->context;
  fiber.clock = maker.clock;
  fiber.node = root_->context->node;
  fiber.name = fiber.own_name.c_str();
  if (fiber.log_extras != maker.log_extras) fiber.log_extras = maker.log_extras;
  fiber.host = this;
  fiber.core = this;
  fiber.id = next_id_++;
  link_child(fiber, parent);
  ++fibers_;
  return fiber;
}

void SchedulerCore::make_blocks() {
  constexpr std::size_t kBlocks = 64;
  auto* blocks = new FiberBlock[kBlocks];  // for ever: see FiberBlock
  for (std::size_t i = 0; i < kBlocks; ++i) {
    blocks[i].next_free = free_blocks_;
    free_blocks_ = &blocks[i];
  }
}

void SchedulerCore::unmake_fiber(FiberBlock& fiber) noexcept {
  unlink_child(fiber);
  --fibers_;
  recycle(fiber);
}

void SchedulerCore::recycle(FiberBlock& fiber) noexcept {
  drop_job(fiber);
  fiber.state = FiberBlock::State::fresh;
  fiber.outcome = FiberBlock::Outcome::none;
  fiber.has_handle = fiber.takes_stop = fiber.told_to_stop = fiber.is_cancelled = fiber.unwind_wanted = false;
  fiber.unwind_deferred = 0;
  fiber.stack_size = 0;
  fiber.failure = nullptr;
  if (fiber.please_stop) fiber.please_stop.reset();
  if (fiber.stopped) fiber.stopped.reset();
  fiber.runnable.stack = nullptr;
  fiber.runnable.has_begun = false;
  fiber.runnable.caught_exceptions = nullptr;
  fiber.runnable.uncaught_exceptions = 0;
  fiber.next_free = free_blocks_;
  free_blocks_ = &fiber;
}

void SchedulerCore::drop_job(FiberBlock& fiber) noexcept {
  if (fiber.job == nullptr) return;
  const FiberBlock::Job& job = *std::exchange(fiber.job, nullptr);
  job.destroy(fiber.job_self);
  if (job.free != nullptr) job.free(fiber.job_self);
}

void SchedulerCore::run(FiberBlock& fiber) noexcept {
  fiber.state = FiberBlock::State::begun;
  if (fiber.is_cancelled) {
    fiber.outcome = FiberBlock::Outcome::cancelled;  // before it began
  } else {
    try {
      fiber.job->call(fiber.job_self);
      fiber.outcome = FiberBlock::Outcome::returned;
    } catch (const FiberCancelled&) {
      fiber.outcome = FiberBlock::Outcome::cancelled;
    } catch (...) {
      fiber.outcome = FiberBlock::Outcome::threw;
      fiber.failure = std::current_exception();
    }
  }
  // What it does from here on is the library's: it may wait, and is not cancelled any more.
  ++fiber.unwind_deferred;
  fiber.job->drop_function(fiber.job_self);
  if (fiber.newest_child != nullptr) stop_children(fiber);
  if (!fiber.has_handle) drop_job(fiber);  // nobody will take the result, and what it refers to may go now
}

void SchedulerCore::finish(FiberBlock& fiber) noexcept {
  if (!fiber.has_handle && fiber.failure) {
    mothreads::internal::report_unclaimed_failure("fiber", fiber.own_name, std::exchange(fiber.failure, nullptr));
  }
  unlink_child(fiber);
  fiber.state = FiberBlock::State::ended;
  while (WaitNode* joiner = fiber.joiners.claim_front_on_host()) joiner->finish_on_host(Why::ready);
  if (fiber.stopped) fiber.stopped->go();
  --fibers_;
  if (fibers_ == 0) {
    while (WaitNode* waiter = no_fibers_waiters_.claim_front_on_host()) waiter->finish_on_host(Why::ready);
  }
  if (!fiber.has_handle) recycle(fiber);
}

void SchedulerCore::stop_children(FiberBlock& fiber) noexcept {
  while (FiberBlock* child = fiber.newest_child) {
    tell_children(fiber.newest_child);
    static_cast<void>(await(*child, Until()));
  }
}

Ended SchedulerCore::await(FiberBlock& fiber, const Until& until) {
  if (fiber.state == FiberBlock::State::ended) return Why::ready;
  Wait wait({"waits for the end of fiber", &fiber, write_fiber_name}, Wait::Spin::no, Context::Reach::host);
  WaitNode node(wait, Why::ready);
  fiber.joiners.push_back(node);
  absl::Cleanup leave = [&] { fiber.joiners.remove(node); };
  return wait.park(until);
}

Ended SchedulerCore::join(FiberBlock& fiber, const Until& until) {
  if (fiber.state == FiberBlock::State::ended) return Why::ready;
  if (const FiberBlock* me = running_fiber(); me != nullptr && is_below(*me, fiber)) {
    throw mothreads::Misuse(me == &fiber
                                ? fmt::format("fiber \"{}\" waits for itself to end: let another fiber join it", fiber.own_name)
                                : fmt::format("fiber \"{}\" waits for \"{}\", which it runs under and which waits for it: let another "
                                              "fiber join it", me->own_name, fiber.own_name));
  }
  return await(fiber, until);
}

void SchedulerCore::stop(FiberBlock& fiber) {
  if (fiber.state == FiberBlock::State::ended) return;
  tell_children(fiber.newest_child);
  if (std::exchange(fiber.told_to_stop, true)) return;
  if (fiber.takes_stop) {
    const Signal please_stop = *fiber.please_stop;  // what it sets off may end the fiber
    please_stop.go();
  } else {
    cancel(fiber);
  }
}

void SchedulerCore::tell_children(FiberBlock* newest_child) {
  // What one does when it is told may end others: each is found anew, by its age.
  std::uint64_t younger_than = UINT64_MAX;
  while (newest_child != nullptr) {
    FiberBlock* child = newest_child;
    FiberBlock* found = nullptr;
    do {
      if (child->id < younger_than) {
        found = child;
        break;
      }
      child = child->older;
    } while (child != newest_child);
    if (found == nullptr) return;
    younger_than = found->id;
    FiberBlock* const parent = found->parent;
    stop(*found);
    newest_child = parent == nullptr ? newest_ : parent->newest_child;
  }
}

void SchedulerCore::cancel(FiberBlock& fiber) {
  if (fiber.state == FiberBlock::State::ended || std::exchange(fiber.is_cancelled, true)) return;
  fiber.unwind_wanted = true;
  const bool is_parked = fiber.state == FiberBlock::State::begun && &fiber.runnable != running_;
  if (is_parked && fiber.unwind_deferred == 0 && fiber.runnable.uncaught_exceptions == 0) fiber.interrupt_on_host();
}

void SchedulerCore::unwind(Context&) { throw FiberCancelled(); }

void SchedulerCore::let_go(FiberBlock& fiber) {
  fiber.has_handle = false;
  if (fiber.state == FiberBlock::State::ended) {
    if (fiber.failure) mothreads::internal::report_unclaimed_failure("fiber", fiber.own_name, std::exchange(fiber.failure, nullptr));
    recycle(fiber);
  } else if (fiber.parent != nullptr) {
    unlink_child(fiber);
    link_child(fiber, nullptr);
  }
}

void SchedulerCore::stop_and_wait(FiberBlock& fiber) noexcept {
  NoUnwind destructors_must_not_be_left;
  if (fiber.state != FiberBlock::State::ended) {
    stop(fiber);
    static_cast<void>(join(fiber, Until()));
  }
  let_go(fiber);
}

Signal SchedulerCore::stopped_signal(FiberBlock& fiber) {
  if (fiber.state == FiberBlock::State::ended && !fiber.stopped) return mothreads::DONE;
  if (!fiber.stopped) fiber.stopped.emplace("stopped of " + fiber.own_name);
  return *fiber.stopped;
}

// --- the tree of fibers --------------------------------------------------------------------------------------------------------

void SchedulerCore::link_child(FiberBlock& child, FiberBlock* parent) noexcept {
  child.parent = parent;
  FiberBlock*& newest = parent == nullptr ? newest_ : parent->newest_child;
  if (newest == nullptr) {
    child.older = child.newer = &child;
  } else {
    child.older = newest;
    child.newer = newest->newer;
    newest->newer = child.newer->older = &child;
  }
  newest = &child;
}

void SchedulerCore::unlink_child(FiberBlock& child) noexcept {
  FiberBlock*& newest = child.parent == nullptr ? newest_ : child.parent->newest_child;
  if (child.older == &child) {
    newest = nullptr;
  } else {
    child.older->newer = child.newer;
    child.newer->older = child.older;
    if (newest == &child) newest = child.older;
  }
  child.parent = child.older = child.newer = nullptr;
}

bool SchedulerCore::is_below(const FiberBlock& fiber, const FiberBlock& ancestor) const noexcept {
  for (const FiberBlock* at = &fiber; at != nullptr; at = at->parent) {
    if (at == &ancestor) return true;
  }
  return false;
}

SchedulerCounts SchedulerCore::counts() const noexcept {
  return {.switches = switches_, .rounds = rounds_, .sleeps = sleeps_, .wakes = wakes_.load(std::memory_order_relaxed)};
}

// --- its place in the tree of threads --------------------------------------------------------------------------------------------

SchedulerNode::SchedulerNode(std::string_view name, SchedulerCore& core, mothreads::Clock& clock)
    : Node(name, Signal("please_stop for " + std::string(name)), clock), core_(core), mailbox_(core.mailbox()) {}

void SchedulerNode::await_end() {
  if (SchedulerCore::current_or_null() == &core_) {
    core_.end();
  } else {
    stopped().wait();
  }
}

// Through the mailbox of this life of the core: another thread may have the core by now.
void SchedulerNode::tell_children(const std::vector<Ref<Node>>&, const std::optional<Instant>&) {
  struct StopAll final : Call {
    explicit StopAll(SchedulerCore& its_core) : core(its_core) {}
    void run() override {
      core.start_stopper();
      delete this;
    }
    void withdraw() noexcept override { delete this; }
    bool is_urgent() const noexcept override { return true; }
    SchedulerCore& core;
  };
  auto stop = std::make_unique<StopAll>(core_);
  if (!mailbox_->post(*stop)) return;
  static_cast<void>(stop.release());
  core_.wake_if_asleep();
}

}  // namespace cooperative::internal
