#include "cooperative/internal/world_core.h"

#include <cxxabi.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <new>
#include <string_view>
#include <utility>

#include <fmt/core.h>

#include "cooperative/internal/cores.h"
#include "cooperative/internal/fiber_life.h"
#include "cooperative/internal/sanitizers.h"
#include "cooperative/internal/scheduler_node.h"
#include "cooperative/internal/switch.h"
#include "mothreads/misuse.h"

namespace cooperative::internal {

using mothreads::Misuse;
using mothreads::internal::Context;
using mothreads::internal::fatal_misuse;
using mothreads::internal::Node;
using mothreads::internal::Ref;
using mothreads::internal::ThreadContext;
using mothreads::internal::TimerNode;
using mothreads::internal::TimerOps;
using mothreads::internal::TimerWheel;

namespace {

constexpr std::size_t kThreadStack = 1024 * 1024;

// Code that runs takes time: after so many switches at one instant the time comes that somebody sleeps for, lest those who wait for it
// in a loop do so for ever. Much earlier when nobody does anything but yield.
constexpr std::uint64_t kSwitchesPerInstant = 1'000'000;
constexpr std::uint64_t kYieldsPerInstant = 10'000;

// A chain of then() functions that make new Tills has an end.
constexpr int kMaxTillsAtEnd = 100'000;

std::uint64_t mix(std::uint64_t value) noexcept {
  // The finalizer of splitmix64.
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

}  // namespace

// --- threads ---------------------------------------------------------------------------------------------------------------------

class WorldCore::Thread final : public Conductor {
 public:
  Thread(WorldCore& its_world, void* (*its_function)(void*), void* its_argument, Stack& its_stack)
      : world(its_world),
        number(its_world.next_number_++),
        function(its_function),
        argument(its_argument),
        stack(its_stack),
        beginning(its_world.timers_context_) {}  // until it has a context

  // Whether it has anything to run.
  bool is_able() const noexcept {
    if (core == nullptr || interrupted != nullptr || !rest.is_empty()) return true;
    const SchedulerLife& rooms = core->rooms();
    return !core->inbox().is_empty() || rooms.queue.has_ready() || rooms.queue.has_yielded() || !rooms.until_idle.is_empty() ||
           rooms.callbacks.has_calls() || rooms.timers.has_due();
  }

  // Whether its next round is for those alone who gave up their turn for nothing.
  bool only_yields() const noexcept {
    const SchedulerLife& rooms = core->rooms();
    return !rooms.queue.has_ready() && core->inbox().is_empty() && !rooms.callbacks.has_calls() && !rooms.timers.has_due();
  }

  // Of its timers on the world's clock.
  std::int64_t first_time() const noexcept {
    return core == nullptr || &core->clock() != &world.clock_ ? TimerWheel::kNever : core->rooms().timers.first_time();
  }

  // Makes it the current one; null when there was nothing to run after all.
  Runnable* take() noexcept {
    SchedulerCore::set_current(core);
    if (core == nullptr) {
      world.starting_ = this;
      return &beginning;
    }
    SchedulerLife& rooms = core->rooms();
    if (interrupted != nullptr) {
      rooms.switcher.set_running(*interrupted);
      return std::exchange(interrupted, nullptr);
    }
    rooms.switcher.set_running(*rooms.root);
    Context::set_current(rooms.root->context);
    if (rest.is_empty()) {
      world.only_yields_ = only_yields() ? world.only_yields_ + 1 : 0;
      core->gather_for_conductor();
      rest.append(rooms.queue.ready());
    }
    while (Runnable* runnable = rest.pop_front()) {
      if (runnable->has_begun || internal::prepare(*core, static_cast<FiberBlock&>(*runnable->context))) {
        core->begin_turn(*runnable);
        rooms.switcher.set_running(*runnable);
        return runnable;
      }
    }
    return nullptr;
  }

  // The number of the fiber among those of this thread.
  std::uint64_t number_of(const Runnable& runnable) const noexcept {
    return runnable.is_fiber ? static_cast<const FiberBlock&>(*runnable.context).id - first_fiber : 0;
  }

  void describe_waits(std::string& text) const {
    if (core == nullptr) return;
    const Context& root = *core->rooms().root->context;
    text += fmt::format("\n  thread \"{}\"", root.name);
    // None any more when the thread is about to end.
    const auto contexts = core->node() == nullptr ? std::nullopt : core->node()->look_inside();
    if (!contexts) {
      if (const auto report = root.waits_on()) text += " " + report->what;
      return;
    }
    text += " " + contexts->shown.front().state;
    for (std::size_t i = 1; i < contexts->shown.size(); ++i) {
      const mothreads::internal::HostedContext& fiber = contexts->shown[i];
      text += fmt::format("\n{:{}}fiber \"{}\" {}", "", 2 * (fiber.depth + 1), fiber.name, fiber.state);
    }
    if (contexts->left_out > 0) text += fmt::format("\n    and {} more fibers", contexts->left_out);
  }

  // --- Conductor

  Runnable& next() noexcept override { return world.next(); }

  void check_caller(const char* what) const override {
    if (here_ == &world) return;
    throw Misuse(fmt::format("{} of a thread in a World (seed {}) was called from outside: let only threads that were started in the "
                             "world use it", what, world.seed_));
  }

  void check_waker() const noexcept override {
    if (here_ == &world) return;
    fatal_misuse(fmt::format("World seed {}: a thread from outside woke one of the world's: let only threads that were started in it "
                             "use what they wait for", world.seed_));
  }

  void may_interrupt() noexcept override {
    if (world.interrupt_posts_ && here_ == &world) world.interrupt();
  }

  mothreads::internal::Simulation& simulation() noexcept override { return world; }

  WorldCore& world;
  const std::uint64_t number;
  void* (*const function)(void*);
  void* const argument;
  Stack& stack;
  Runnable beginning;
  SchedulerCore* core = nullptr;
  std::uint64_t first_fiber = 0;
  Fifo<Runnable> rest;              // of its round
  Runnable* interrupted = nullptr;  // goes on before the rest
  TimerNode never{kNever};          // with a timer its scheduler looks before it goes on by itself

 private:
  static bool take_never(TimerNode&) { return false; }
  static constexpr TimerOps kNever{take_never, nullptr};
};

WorldCore::WorldCore(const Options& options)
    : seed_(options.seed),
      interrupt_posts_(options.interrupt_posts),
      random_(mix(options.seed)),
      root_(Ref<WorldRoot>::adopt(new WorldRoot("world", mothreads::Signal("please_stop for the world"), clock_))),
      timers_context_(ThreadContext::acquire()),
      timers_node_(Ref<WorldTimersNode>::adopt(new WorldTimersNode(clock_, *root_))),
      timers_(timers_context_) {
  constexpr std::uint64_t kStays[] = {0, 0, 3, 6};
  stay_ = kStays[draw(4)];
  timers_context_.set_simulated();
  timers_context_.clock = &clock_;
  timers_context_.node = timers_node_.get();
  timers_context_.name = "timers";
  timers_context_.host = this;
  timers_context_.must_not_block = true;
}

WorldCore::~WorldCore() {
  if (caller_) fatal_misuse(fmt::format("World seed {}: it was destroyed while it runs", seed_));
  if (clock_.pending() != 0) {
    fatal_misuse(fmt::format("World seed {}: it was destroyed while somebody waits for its time: what waits in a world ends with run()", seed_));
  }
  if (timers_stack_ != nullptr) stacks_.give_back(*timers_stack_);
  give_back_ended();
  timers_node_->mark_stopped();
  root_->mark_stopped();
  ThreadContext::release(timers_context_);
}

std::uint64_t WorldCore::draw_number() noexcept {
  random_ += 0x9e3779b97f4a7c15;
  return mix(random_);
}

std::uint64_t WorldCore::draw(std::uint64_t below) noexcept { return draw_number() % below; }

std::int64_t WorldCore::elapsed() const noexcept { return clock_.nanoseconds() - WorldClock::kStart; }

void WorldCore::check_parent(const Node& parent, std::string_view name) const {
  if (parent.is_below(*root_)) return;
  throw Misuse(fmt::format("thread \"{}\" of a World (seed {}) would run under \"{}\", which is outside and does not end with it: make what "
                           "starts it, a ThreadGroup or a BlockingPool, inside the world", name, seed_, parent.name()));
}

void WorldCore::start_thread(void* (*function)(void*), void* argument, std::size_t stack_size) {
  Stack& stack = stacks_.take(std::max(stack_size, kThreadStack), "of a World");
  auto thread = std::make_unique<Thread>(*this, function, argument, stack);
  able_.reserve(threads_.size() + 1);
  threads_.push_back(std::move(thread));
  prepare(threads_.back()->beginning, stack, run_thread, threads_.back().get());
}

void WorldCore::begin_thread(Context&) {
  Thread& thread = *std::exchange(starting_, nullptr);
  SchedulerCore& core = Cores::take();
  core.begin(&thread);
  core.rooms().root->stack = &thread.stack;
  // To its switches the thread's own stack is that of who called run().
  core.rooms().switcher.set_own_stack({.lowest = caller_lowest_, .size = caller_size_, .tsan_fiber = caller_tsan_fiber_});
  thread.first_fiber = core.blocks().next_id() - 1;
  core.rooms().timers.add_unpaced(thread.never, TimerWheel::kNever);
  thread.core = &core;
}

// Right before a switch; `from` is null when its stack ends. Inlined because of tsan_switch().
[[gnu::always_inline]] inline void WorldCore::announce(Runnable* from, Runnable& to) noexcept {
  if (from != nullptr) {
    from->caught_exceptions = eh_globals_->caught_exceptions;
    from->uncaught_exceptions = eh_globals_->uncaught_exceptions;
  }
  eh_globals_->caught_exceptions = std::exchange(to.caught_exceptions, nullptr);
  eh_globals_->uncaught_exceptions = std::exchange(to.uncaught_exceptions, 0u);
  void** const fake_stack = from == nullptr ? nullptr : &from->asan_fake_stack;
  if (to.stack != nullptr) {
    asan_leave(fake_stack, to.stack->lowest, static_cast<std::size_t>(to.stack->top - to.stack->lowest));
    tsan_switch(to.stack->tsan_fiber);
  } else {
    asan_leave(fake_stack, caller_lowest_, caller_size_);
    tsan_switch(caller_tsan_fiber_);
  }
}

// It leaves for good in this frame: those that began after the arrival AddressSanitizer takes away first.
void WorldCore::run_thread(void* thread_pointer) noexcept {
  auto& thread = *static_cast<Thread*>(thread_pointer);
  WorldCore& world = thread.world;
  world.arrive(nullptr);
  thread.function(thread.argument);
  Runnable& to = world.end_thread(thread);
  world.announce(nullptr, to);
  void* nowhere = nullptr;
  switch_stack(&nowhere, to.stack_pointer);
  __builtin_unreachable();
}

// Gives who comes next; the thread's stack is given back from there.
Runnable& WorldCore::end_thread(Thread& thread) noexcept {
  thread.core->rooms().timers.remove(thread.never);
  thread.core->leave_thread();
  thread.core->retire();
  thread.core = nullptr;
  const auto at = std::find_if(threads_.begin(), threads_.end(), [&](const auto& each) { return each.get() == &thread; });
  std::unique_ptr<Thread> mine = std::move(*at);
  threads_.erase(at);
  last_ = nullptr;
  if (threads_.empty()) caller_is_ready_ = true;
  Runnable& to = next();
  ended_ = std::move(mine);
  return to;
}

void WorldCore::give_back_ended() noexcept {
  if (ended_ == nullptr) return;
  stacks_.give_back(ended_->stack);
  ended_.reset();
}

// --- whose turn it is --------------------------------------------------------------------------------------------------------------

Runnable& WorldCore::next() noexcept {
  give_back_ended();
  const bool is_long = ++switches_since_jump_ >= kSwitchesPerInstant || only_yields_ >= kYieldsPerInstant;
  if (is_long && first_time() != TimerWheel::kNever) let_time_pass();
  while (true) {
    if (Runnable* runnable = draw_one()) {
      Context::set_current(runnable->context);
      return *runnable;
    }
  }
}

Runnable* WorldCore::draw_one() noexcept {
  able_.clear();
  for (const auto& thread : threads_) {
    if (thread->is_able()) able_.push_back(thread.get());
  }
  const bool timers_are_due = clock_.is_due();
  const std::size_t count = able_.size() + (timers_are_due ? 1 : 0) + (caller_is_ready_ ? 1 : 0);
  if (count == 0) {
    let_time_pass();
    return nullptr;
  }
  Runnable* runnable = nullptr;
  std::uint64_t what = 0;
  const bool stays = draw(8) < stay_ && std::find(able_.begin(), able_.end(), last_) != able_.end();
  std::uint64_t which = draw(count);
  if (stays || which < able_.size()) {
    Thread& thread = stays ? *last_ : *able_[which];
    last_ = &thread;
    runnable = thread.take();
    if (runnable != nullptr) what = thread.number << 32 | thread.number_of(*runnable);
  } else {
    last_ = nullptr;
    SchedulerCore::set_current(nullptr);
    if (timers_are_due && which == able_.size()) {
      runnable = &timers_;
    } else {
      caller_is_ready_ = false;
      runnable = &*caller_;
    }
  }
  signature_ = mix(signature_ ^ mix(what + static_cast<std::uint64_t>(clock_.nanoseconds())));
  return runnable;
}

std::int64_t WorldCore::first_time() const noexcept {
  std::int64_t first = clock_.first_time();
  for (const auto& thread : threads_) first = std::min(first, thread->first_time());
  return first;
}

void WorldCore::let_time_pass() noexcept {
  const std::int64_t time = first_time();
  if (time == TimerWheel::kNever) fail_deadlock();
  clock_.move_to(time);
  switches_since_jump_ = only_yields_ = 0;
}

void WorldCore::interrupt() noexcept {
  SchedulerCore* const core = SchedulerCore::current_or_null();
  if (core == nullptr || !core->is_of_world()) return;  // the timers
  Runnable& me = core->running();
  static_cast<Thread&>(*core->rooms().conductor).interrupted = &me;
  Runnable& to = next();
  if (&to != &me) core->switch_to(me, to);
}

std::string WorldCore::describe_waits() const {
  std::string text;
  for (const auto& thread : threads_) thread->describe_waits(text);
  return text;
}

void WorldCore::fail_deadlock() const noexcept {
  fatal_misuse(fmt::format("World seed {}: a deadlock: all wait, and no time that may come ends a wait. Who waits:{}", seed_, describe_waits()));
}

// --- switching ---------------------------------------------------------------------------------------------------------------------

void WorldCore::prepare(Runnable& runnable, Stack& stack, void (*function)(void*), void* argument) noexcept {
  if (stack.tsan_fiber == nullptr) stack.tsan_fiber = make_tsan_fiber();
  asan_unpoison(stack.lowest, static_cast<std::size_t>(stack.top - stack.lowest));
  runnable.stack = &stack;
  runnable.has_begun = true;
  FloatingPoint floating_point;
  floating_point.take();  // a thread begins with its maker's
  runnable.stack_pointer = prepare_stack(stack.top, function, argument, floating_point);
}

void WorldCore::switch_to(Runnable& from, Runnable& to) noexcept {
  announce(&from, to);
  switch_stack(&from.stack_pointer, to.stack_pointer);
  arrive(from.asan_fake_stack);
}

void WorldCore::arrive(void* fake_stack) noexcept {
  const void* left = nullptr;
  std::size_t size = 0;
  asan_arrive(fake_stack, &left, &size);
  if (caller_lowest_ == nullptr) {  // the first switch came from there
    caller_lowest_ = left;
    caller_size_ = size;
  }
}

void WorldCore::run_timers(void* world_pointer) noexcept {
  auto& world = *static_cast<WorldCore*>(world_pointer);
  world.arrive(nullptr);
  while (true) {
    if (world.clock_.a_stop_is_due()) std::fprintf(stderr, "World seed %llu\n", static_cast<unsigned long long>(world.seed_));
    world.clock_.fire_due();
    world.suspend(world.timers_context_);
  }
}

// --- who is no thread of the world ---------------------------------------------------------------------------------------------------

void WorldCore::suspend(Context& context) noexcept {
  Runnable& from = &context == &timers_context_ ? timers_ : *caller_;
  Runnable& to = next();
  if (&to != &from) switch_to(from, to);
}

void WorldCore::resume(Context&) noexcept {
  if (here_ != this) {
    fatal_misuse(fmt::format("World seed {}: a thread from outside woke who called run(): let only threads that were started in the "
                             "world use what it waits for", seed_));
  }
  caller_is_ready_ = true;  // the timers never wait
}

void WorldCore::add_timer(TimerNode& timer, std::int64_t when) noexcept { clock_.timers().add(timer, when); }
void WorldCore::cancel_timer(TimerNode& timer) noexcept { clock_.timers().cancel(timer); }

// Only a fiber is ever unwound: one that called run() with its cancellation before it.
void WorldCore::unwind(Context& context) {
  host_before_->unwind(context);
  std::terminate();  // it never returns
}

void WorldCore::enter() {
  if (here_ != nullptr) {
    throw Misuse(fmt::format("World::run was called inside a World (seed {}): start a thread there, instead", here_->seed_));
  }
  Context& context = Context::current();
  if (context.must_not_block) {
    throw Misuse("World::run was called by a then() function on a thread of the library, which nothing may block: run it in a thread");
  }
  if (timers_stack_ == nullptr) {
    timers_stack_ = &stacks_.take(kThreadStack, "timers");
    prepare(timers_, *timers_stack_, run_timers, this);
  }
  eh_globals_ = reinterpret_cast<EhGlobals*>(abi::__cxa_get_globals());
  caller_.emplace(context);
  caller_->has_begun = true;
  caller_lowest_ = nullptr;
  caller_tsan_fiber_ = current_tsan_fiber();
  here_ = this;
  core_before_ = SchedulerCore::current_or_null();
  SchedulerCore::set_current(nullptr);
  host_before_ = std::exchange(context.host, this);
  node_before_ = std::exchange(context.node, root_.get());
  clock_before_ = std::exchange(context.clock, &clock_);
  random_before_ = RandomSource::exchange(this);
}

void WorldCore::leave() noexcept {
  await_threads();
  for (int count = 0; clock_.pending() > 0; ++count) {
    if (count == kMaxTillsAtEnd) fatal_misuse(fmt::format("World seed {}: functions of Tills make new Tills without end", seed_));
    clock_.move_to(first_time());
    caller_is_ready_ = true;
    suspend(*caller_->context);
    await_threads();
  }
  Context& context = *caller_->context;
  context.host = host_before_;
  context.node = node_before_;
  context.clock = clock_before_;
  RandomSource::exchange(random_before_);
  SchedulerCore::set_current(core_before_);
  here_ = nullptr;
  caller_.reset();
  caller_is_ready_ = false;
}

// Those that have stopped, too, have still to leave their stacks.
void WorldCore::await_threads() noexcept {
  root_->stop_children();
  while (!threads_.empty()) suspend(*caller_->context);
}

}  // namespace cooperative::internal
