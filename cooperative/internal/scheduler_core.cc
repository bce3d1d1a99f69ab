#include "cooperative/internal/scheduler_core.h"

#include <cxxabi.h>

#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "cooperative/internal/foreign_poll.h"
#include "cooperative/internal/poller.h"
#include "cooperative/internal/sanitizers.h"
#include "cooperative/internal/scheduler_node.h"
#include "mothreads/contexts/fork.h"
#include "mothreads/contexts/thread_context.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"
#include "mothreads/until.h"

namespace cooperative::internal {

using mothreads::Until;
using mothreads::Why;
using mothreads::internal::Context;
using mothreads::internal::NoUnwind;
using mothreads::internal::Ref;
using mothreads::internal::ThreadContext;
using mothreads::internal::WaitNode;

namespace {

struct Recycled {
  std::mutex mutex;
  std::vector<SchedulerCore*> cores;
  std::vector<SchedulerCore*> made;  // all there are
};

Recycled& recycled();

constinit mothreads::internal::ForkPart part{
    .rank = mothreads::internal::ForkPart::Rank::schedulers,
    .prepare = []() noexcept { recycled().mutex.lock(); },
    .in_parent = []() noexcept { recycled().mutex.unlock(); },
    .in_child =
        []() noexcept {
          recycled().mutex.unlock();
          for (SchedulerCore* core : recycled().made) core->leave_if_others();
          SchedulerCore::go_on_in_child();
        },
};

Recycled& recycled() {
  static Recycled& instance = *[] {
    auto* const made = new Recycled;  // outlives every thread
    mothreads::internal::take_part_in_forks(part);
    return made;
  }();
  return instance;
}

// Before there is a second thread, where it can be: one that was about to make it at a fork() would be missed in the child.
[[maybe_unused]] const bool made_early = (recycled(), true);

std::string_view name_of(FiberBlock::StackOption option) noexcept {
  switch (option) {
    case FiberBlock::StackOption::of_parallel: return "ParallelOptions::stack_size";
    case FiberBlock::StackOption::of_timer: return "TimerOptions::stack_size";
    case FiberBlock::StackOption::of_callbacks: return "Scheduler::set_callback_stack_size()";
    case FiberBlock::StackOption::of_callback_queue: return "CallbackQueueOptions::stack_size";
    case FiberBlock::StackOption::of_server: return "ServerOptions::stack_size";
    case FiberBlock::StackOption::of_fiber: break;
  }
  return "FiberOptions::stack_size";
}

// Ends the scheduler of a thread that the shutdown tree does not end: one that the library does not know, or the main thread.
struct AtThreadEnd {
  ~AtThreadEnd() {
    SchedulerCore* core = SchedulerCore::current_or_null();
    // exit() by a fiber: the shutdown tree reports it.
    if (core != nullptr && Context::current().is_root && core->simulation() == nullptr) core->end();
  }
};

}  // namespace

SchedulerCore::SchedulerCore() = default;

SchedulerCore& SchedulerCore::make_for_this_thread() {
  thread_local AtThreadEnd at_end;
  static_cast<void>(at_end);
  Context& root = Context::current();
  if (root.has_no_end) {
    throw mothreads::Misuse(fmt::format("\"{}\" cannot have fibers any more: its thread has ended, and nothing would end them; use them before "
                                        "the last destructor of the thread's", root.name));
  }
  if (root.must_not_block) throw mothreads::Misuse("a then() function on a thread of the library cannot have fibers: let it start a thread, or post to a scheduler");
  if (root.node->takes_no_more() && !root.node->next_above()->takes_no_more()) {  // else all has ended: see add_node()
    throw mothreads::Misuse(fmt::format("thread \"{}\" has ended, and a function of its end cannot have fibers: let it start a thread, or "
                                        "post to a scheduler", root.name));
  }
  SchedulerCore& core = take_recycled();
  try {
    core.begin(nullptr);
  } catch (...) {
    core.stacks_.reset();
    core.recycle();
    throw;
  }
  return core;
}

SchedulerCore& SchedulerCore::take_recycled() {
  std::lock_guard lock(recycled().mutex);
  if (recycled().cores.empty()) return *recycled().made.emplace_back(new SchedulerCore);
  SchedulerCore& core = *recycled().cores.back();
  recycled().cores.pop_back();
  return core;
}

void SchedulerCore::begin(Conductor* conductor) {
  Context& context = Context::current();
  static constinit std::atomic<std::uint64_t> lives{0};
  life_.store(lives.fetch_add(1, std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  take_late_blocks();
  clock_ = context.clock;
  wheel_.emplace(clock_->now().time_since_epoch().count());
  stacks_.emplace();
  stack_marks_ = {};
  checks_stacks_ = false;
  callback_stack_size_ = 0;
  floating_point_.take();
  root_ = new (root_room_) Runnable(context);
  root_->has_begun = true;
  root_tsan_fiber_ = current_tsan_fiber();
  root_lowest_ = nullptr;
  running_ = root_;
  eh_globals_ = reinterpret_cast<EhGlobals*>(abi::__cxa_get_globals());
  conductor_ = conductor;
  mailbox_ = std::make_shared<Mailbox>(conductor);
  ending_ = calls_run_ = errands_run_ = all_told_ = false;
  told_at_stop_ = 0;
  calls_fiber_ = nullptr;
  next_due_ = mothreads::internal::TimerWheel::kNever;
  rounds_to_check_ = rounds_per_check_ = 1;
  io_waits_ = 0;
  just_polled_ = false;
  set_selfishness(kDefaultSelfishness);
  begin_turn(*root_);
  stop_deadline_ = FiberBlock::kNoDeadline;
  max_fibers_ = kDefaultMaxFibers;
  switches_ = rounds_ = sleeps_ = 0;
  wakes_.store(0, std::memory_order_relaxed);
  spinner_ = static_cast<ThreadContext*>(&context);
  add_node();
  context.host = this;
  set_current(this);
  signal_stack_.enter();
  report_overflows();
}

void SchedulerCore::add_node() {
  auto node = Ref<SchedulerNode>::adopt(new SchedulerNode(fmt::format("scheduler of {}", root_->context->name), *this, *clock_));
  const Ref<mothreads::internal::Node> thread(*root_->context->node);  // also while what its function captured is destroyed
  node->attach_to(thread->takes_children() ? *thread : *thread->next_above());
  node_ = node.take();
}

// To the end: in a test world, and in a child of fork() whose root is a fiber, on a stack that is the scheduler's.
bool SchedulerCore::carries_its_thread() const noexcept { return conductor_ != nullptr || root_->stack != nullptr; }

void SchedulerCore::end() {
  NoUnwind whatever;
  ending_ = true;
  std::size_t withdrawn = calls_.drop_all();
  errands_.drop_all();
  withdrawn += mailbox_->close();
  if (withdrawn > 0) mothreads::log::warning("{} callbacks for {} were withdrawn: it ended before their turn", withdrawn, node_->name());
  if (newest_ != nullptr) {
    node_->request_stop();  // where nobody has: it settles the deadline, and watches over it
    settle_deadline_of_all(node_->deadline());
  }
  while (newest_ != nullptr || finishing_ != 0) {
    tell(nullptr, Tell::those_below);
    if (fibers_ == 0 && finishing_ == 0) {
      if (newest_ != nullptr) close_group(*newest_->group);  // it outlives its scheduler
      continue;
    }
    WaitNode node;
    static_cast<void>(wait(no_fibers_waiters_, node, "waits for the fibers of its scheduler to end"));
  }
  cancel_timer(stop_timer_);
  if (foreign_poll_ != nullptr) foreign_poll_->abandon();
  for (std::unique_ptr<Service>& service : services_) service.reset();
  delete std::exchange(poller_, nullptr);
  give_back_ended();
  const bool carries = carries_its_thread();
  const auto node = Ref<SchedulerNode>::adopt(std::exchange(node_, nullptr));
  if (carries) {
    max_fibers_ = 0;
  } else {
    leave_thread();
  }
  node->mark_stopped();
  node->detach();
  if (!carries) recycle();
}

Poller& SchedulerCore::make_poller() {
  poller_ = new Poller(*this);
  return *poller_;
}

void SchedulerCore::leave_thread() noexcept {
  if (Context* context = Context::current_or_null()) context->host = nullptr;
  set_current(nullptr);
  signal_stack_.leave();
  stacks_.reset();
  wheel_->for_each([this](mothreads::internal::TimerNode& late) { wheel_->remove(late); });  // it outlives its scheduler
}

void SchedulerCore::recycle() {
  conductor_ = nullptr;
  life_.store(0, std::memory_order_relaxed);
  // Whatever was posted too late is nobody's.
  inbox_.store(nullptr, std::memory_order_relaxed);
  std::lock_guard lock(recycled().mutex);
  recycled().cores.push_back(this);
}

// Of a fiber that has ended only the result and the failure are left.
void SchedulerCore::let_go_after_end(FiberBlock& fiber) noexcept {
  if (fiber.state != FiberBlock::State::ended) return;  // in a child of fork(): the parent has it, and nothing of it is destroyed here
  if (const std::exception_ptr failure = std::exchange(fiber.failure, nullptr)) {
    mothreads::internal::report_unclaimed_failure("fiber", fiber.own_name, failure);
  }
  drop_job(fiber);
  std::lock_guard lock(recycled().mutex);
  fiber.next_free() = late_blocks_;
  late_blocks_ = &fiber;
}

void SchedulerCore::take_late_blocks() noexcept {
  FiberBlock* late = nullptr;
  {
    std::lock_guard lock(recycled().mutex);
    late = std::exchange(late_blocks_, nullptr);
  }
  while (late != nullptr) recycle(*std::exchange(late, late->next_free()));
}

// On the running fiber's own guard it is an overflow, whatever touched it; on another's only when it was on that one's stack, else it
// is a pointer gone wild.
SchedulerCore::Overflow SchedulerCore::find_overflow(const void* address, const void* stack_pointer) const noexcept {
  const Stack* stack = stacks_->guarded_by(address);
  const FiberBlock* fiber = running_fiber();
  const std::string_view name = fiber != nullptr ? std::string_view(fiber->own_name) : std::string_view(root_->context->name);
  if (stack == nullptr) return {};
  const std::string_view option = fiber != nullptr ? name_of(fiber->stack_option) : "FiberOptions::stack_size";
  if (stack == running_->stack) return {.stack = stack, .name = name, .is_leaving = false, .option = option};
  if (stack_pointer < stack->lowest - kStackGuard || stack_pointer >= stack->top) return {};
  return {.stack = stack, .name = name, .is_leaving = true, .option = "FiberOptions::stack_size"};
}

}  // namespace cooperative::internal
