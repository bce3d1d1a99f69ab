#include "cooperative/internal/world/world_core.h"

#include <cxxabi.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <new>
#include <string_view>
#include <utility>

#include <fmt/core.h>

#include "cooperative/internal/scheduler/cores.h"
#include "cooperative/internal/stack/sanitizers.h"
#include "cooperative/internal/stack/switch.h"
#include "cooperative/internal/world/world_thread.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0::internal {

using mothreads::Misuse;
using mothreads::internal::Context;
using mothreads::internal::fatal_misuse;
using mothreads::internal::Node;
using mothreads::internal::Ref;
using mothreads::internal::ThreadContext;
using mothreads::internal::TimerNode;
using mothreads::internal::TimerWheel;

namespace {

constexpr std::size_t kThreadStack = 1024 * 1024;

// A chain of then() functions that make new Tills has an end.
constexpr int kMaxTillsAtEnd = 100'000;

}  // namespace

WorldCore::WorldCore(const Options& options)
    : options_(options),
      random_(mix(options.seed)),
      order_(options.order),
      clock_(options.wall_time),
      timers_context_(ThreadContext::acquire()),
      timers_node_(Ref<WorldTimersNode>::adopt(new WorldTimersNode(clock_))),
      timers_(timers_context_) {
  if (options_.every_operation) mothreads::internal::SignalState::watch_new(true);
  timers_context_.set_simulated();
  timers_context_.clock = &clock_;
  timers_context_.node = timers_node_.get();
  timers_context_.set_name("timers");
  timers_context_.host = this;
  timers_context_.care.must_not_block = true;
}

WorldCore::~WorldCore() {
  if (caller_) fatal_misuse(fmt::format("World seed {}: it was destroyed while it runs", seed()));
  if (clock_.pending() != 0) {
    fatal_misuse(fmt::format("World seed {}: it was destroyed while somebody waits for its time: what waits in a world ends with run()", seed()));
  }
  if (options_.every_operation) mothreads::internal::SignalState::watch_new(false);
  note_end();
  if (timers_stack_ != nullptr) stacks_.give_back(*timers_stack_);
  give_back_ended();
  timers_node_->mark_stopped();
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
                           "starts it, a ThreadGroup or a BlockingPool, inside the world", name, seed(), parent.name()));
}

void WorldCore::start_thread(std::string_view name, void* (*function)(void*), void* argument, std::size_t stack_size) {
  Stack& stack = stacks_.take(std::max(stack_size, kThreadStack), "of a World");
  auto thread = std::make_unique<Thread>(*this, name, function, argument, stack);
  able_.reserve(threads_.size() + 3);  // with the timers, and who called run()
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
  SchedulerCore::set_current(nullptr);
  if (threads_.empty()) caller_is_ready_ = true;
  if (options_.describes) ended_title_ = mine->title();
  Runnable& to = next(WorldOrder::Kind::wait);
  ended_ = std::move(mine);
  return to;
}

void WorldCore::give_back_ended() noexcept {
  if (ended_ == nullptr) return;
  stacks_.give_back(ended_->stack);
  ended_.reset();
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
    if (world.clock_.a_stop_is_due()) std::fprintf(stderr, "World seed %llu\n", static_cast<unsigned long long>(world.seed()));
    world.clock_.fire_due();
    world.suspend(world.timers_context_);
  }
}

// --- who is no thread of the world ---------------------------------------------------------------------------------------------------

void WorldCore::suspend(Context& context) noexcept {
  Runnable& from = &context == &timers_context_ ? timers_ : *caller_;
  Runnable& to = next(WorldOrder::Kind::wait);
  if (&to != &from) switch_to(from, to);
}

void WorldCore::resume(Context&) noexcept {
  if (here_ != this) {
    fatal_misuse(fmt::format("World seed {}: a thread from outside woke who called run(): let only threads that were started in the "
                             "world use what it waits for", seed()));
  }
  caller_is_ready_ = true;  // the timers never wait
}

void WorldCore::add_timer(TimerNode& timer, std::int64_t when) noexcept { clock_.timers(mothreads::internal::kAccess).add(timer, when); }
void WorldCore::cancel_timer(TimerNode& timer) noexcept { clock_.timers(mothreads::internal::kAccess).cancel(timer); }

// Only a fiber is ever unwound: one that called run() with its cancellation before it.
void WorldCore::unwind(Context& context) {
  host_before_->unwind(context);
  std::terminate();  // it never returns
}

void WorldCore::enter() {
  if (here_ != nullptr) {
    throw Misuse(fmt::format("World::run was called inside a World (seed {}): start a thread there, instead", here_->seed()));
  }
  Context& context = Context::current();
  if (context.care.must_not_block) {
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
  root_ = Ref<WorldRoot>::adopt(new WorldRoot(clock_, options_.drain));
  timers_node_->belong_to(*root_);
  host_before_ = std::exchange(context.host, this);
  node_before_ = std::exchange(context.node, root_.get());
  clock_before_ = std::exchange(context.clock, &clock_);
  random_before_ = RandomSource::exchange(this);
}

void WorldCore::leave() noexcept {
  await_threads();
  for (int count = 0; clock_.pending() > 0; ++count) {
    if (count == kMaxTillsAtEnd) fatal_misuse(fmt::format("World seed {}: functions of Tills make new Tills without end", seed()));
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
  root_->mark_stopped();
  root_ = {};
  caller_.reset();
  caller_is_ready_ = false;
}

// Those that have stopped, too, have still to leave their stacks.
void WorldCore::await_threads() noexcept {
  root_->stop_children();
  while (!threads_.empty()) suspend(*caller_->context);
  root_->stop_is_over();
}

}  // namespace cooperative::internal
