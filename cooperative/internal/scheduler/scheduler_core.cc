#include "cooperative/internal/scheduler/scheduler_core.h"

#include <memory>
#include <utility>

#include <fmt/core.h>

#include "absl/cleanup/cleanup.h"
#include "absl/time/time.h"
#include "cooperative/internal/scheduler/alarm.h"
#include "cooperative/internal/scheduler/conductor.h"
#include "cooperative/internal/scheduler/cores.h"
#include "cooperative/internal/scheduler/fiber_ends.h"
#include "cooperative/internal/scheduler/fiber_life.h"
#include "cooperative/internal/scheduler/foreign_poll.h"
#include "cooperative/internal/scheduler/groups.h"
#include "cooperative/internal/scheduler/poller.h"
#include "cooperative/internal/scheduler/scheduler_node.h"
#include "mothreads/internal/wait/thread_context.h"
#include "mothreads/log.h"

namespace cooperative::inline v0::internal {

using mothreads::Ended;
using mothreads::Instant;
using mothreads::Limit;
using mothreads::Why;
using mothreads::internal::Context;
using mothreads::internal::NoUnwind;
using mothreads::internal::Ref;
using mothreads::internal::Wait;
using mothreads::internal::WaitNode;

// --- its lives ---------------------------------------------------------------------------------------------------------------

SchedulerCore::SchedulerCore() noexcept : blocks_(*this, *this) {}

SchedulerCore& SchedulerCore::make_for_this_thread() { return Cores::make_for_this_thread(); }

void SchedulerCore::begin(Conductor* conductor) {
  Context& context = Context::current();
  static constinit std::atomic<std::uint64_t> lives{0};
  number_of_life_.store(lives.fetch_add(1, std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  for (FiberBlock* late = blocks_.take_late(); late != nullptr;) recycle(*std::exchange(late, late->next_free()));
  inbox_.begin_life();
  io_waits_ = 0;
  std::construct_at(&life_, *this, context, conductor);
  has_life_ = true;
  wait_stamp = life_.timers.stamp(life_.queue.rounds());
  absl::Cleanup undo = [this] { end_life(); };
  is_watched = conductor != nullptr && conductor->watches();
  if (is_watched) {
    life_.turns.look_at_each();
    life_.turns.give_acts(*life_.root);
  }
  begin_turn(*life_.root);
  add_node();
  std::move(undo).Cancel();
  context.host = this;
  set_current(this);
  signal_stack_.enter();
  report_overflows();
}

void SchedulerCore::add_node() {
  const Context& root = *life_.root->context;
  auto node = Ref<SchedulerNode>::adopt(new SchedulerNode(fmt::format("scheduler of {}", root.name), *this, life_.timers.clock()));
  const Ref<mothreads::internal::Node> thread(*root.node);  // also while what its function captured is destroyed
  node->attach_to(thread->takes_children() ? *thread : *thread->next_above());
  life_.node = node.take();
}

void SchedulerCore::end() {
  NoUnwind whatever;
  life_.ending = true;
  const std::size_t withdrawn = life_.callbacks.close();
  if (withdrawn > 0) mothreads::log::warning("{} callbacks for {} were withdrawn: it ended before their turn", withdrawn, life_.node->name());
  end_fibers();
  life_.stopping.end();
  if (life_.foreign_poll != nullptr) life_.foreign_poll->abandon();
  life_.services.end();
  life_.poller.reset();
  life_.stacks.give_back_ended();
  const auto node = Ref<SchedulerNode>::adopt(std::exchange(life_.node, nullptr));
  const bool carries = life_.carries_its_thread();
  if (carries) {
    life_.population.set_max(0);
  } else {
    leave_thread();
  }
  node->mark_stopped();
  node->detach();
  if (!carries) retire();
}

void SchedulerCore::end_fibers() {
  const FiberTree& tree = life_.tree;
  Population& population = life_.population;
  if (!tree.is_empty()) {
    life_.node->request_stop();  // where nobody has: it settles the deadline, and watches over it
    life_.stopping.settle_deadline_of_all(life_.node->deadline());
  }
  while (!tree.is_empty() || population.has_finishing()) {
    life_.stopping.tell_all();
    if (population.is_zero()) {
      if (!tree.is_empty()) close_group(*tree.newest()->group);  // it outlives its scheduler
      continue;
    }
    WaitNode node;
    static_cast<void>(wait(population.waiters(), node, "waits for the fibers of its scheduler to end"));
  }
}

void SchedulerCore::leave_thread() noexcept {
  if (Context* context = Context::current_or_null()) context->host = nullptr;
  set_current(nullptr);
  signal_stack_.leave();
  end_life();
}

void SchedulerCore::end_life() noexcept {
  has_life_ = false;
  std::destroy_at(&life_);
}

void SchedulerCore::retire() {
  number_of_life_.store(0, std::memory_order_relaxed);
  inbox_.clear();
  Cores::give_back(*this);
}

void SchedulerCore::lose_thread() noexcept {
  if (!has_life_) return;  // nobody's: it serves the next thread
  number_of_life_.store(0, std::memory_order_relaxed);
  is_left_behind = true;
  life_.callbacks.mailbox()->leave_behind();
}

// --- waiting -----------------------------------------------------------------------------------------------------------------

void SchedulerCore::suspend(Context&) noexcept { suspend_running(); }

void SchedulerCore::resume(Context& context) noexcept {
  Runnable& runnable = runnable_of(context);
  if (is_its_thread()) {
    life_.queue.push_ready(runnable);
  } else {
    if (life_.conductor != nullptr) [[unlikely]] life_.conductor->check_waker();
    inbox_.post(runnable);
  }
}

void SchedulerCore::yield_in_round() {
  if (life_.conductor != nullptr) return yield();
  if (acts_left <= 0) unwind_if_due();
  life_.queue.push_into_round(running());
  suspend_running();
  if (acts_left <= 0) unwind_if_due();
}

Ended SchedulerCore::yield_until_idle(Limit limit) {
  Wait wait({"waits until nothing else is ready", nullptr, nullptr}, Wait::Spin::no, Context::Reach::host);
  WaitNode node(wait, Why::ready);
  life_.until_idle.push_back(node);
  absl::Cleanup leave = [&] { life_.until_idle.remove(node); };
  return wait.park(limit);
}

void SchedulerCore::interrupt(Context& context) noexcept {
  unwinding_changed(context);
  const Runnable& runnable = runnable_of(context);
  // One that runs the others' timers at its wait's end is as parked as any.
  const unsigned int unwinding = life_.switcher.uncaught_exceptions_of(runnable);
  if (runnable.has_begun && context.may_unwind(static_cast<int>(unwinding))) context.interrupt_on_host();
}

void SchedulerCore::unwinding_changed(Context& context) noexcept {
  Runnable& runnable = runnable_of(context);
  life_.turns.give_acts(runnable);
  if (&runnable == &running()) begin_turn(runnable);
}

void SchedulerCore::unwind(Context& context) {
  prepare_unwinding(context);
  throw FiberCancelled();
}

void SchedulerCore::unwind_if_due() {
  if (running().context->must_unwind()) unwind(*running().context);
}

mothreads::internal::Simulation* SchedulerCore::simulation() noexcept {
  return life_.conductor == nullptr ? nullptr : &life_.conductor->simulation();
}

// --- turns -------------------------------------------------------------------------------------------------------------------

void SchedulerCore::set_selfishness(std::uint32_t operations) noexcept {
  life_.turns.set_selfishness(operations);
  life_.turns.give_acts(*life_.root);
  int depth = 0;
  for (FiberBlock* fiber = life_.tree.newest(); fiber != nullptr; fiber = life_.tree.next(*fiber, depth)) life_.turns.give_acts(fiber->runnable);
}

std::uint32_t SchedulerCore::set_max_selfish_acts(std::uint32_t operations) noexcept {
  Runnable& me = running();
  const std::uint32_t before = std::exchange(me.max_acts, operations);
  life_.turns.give_acts(me);
  begin_turn(me);
  return before;
}

void SchedulerCore::end_turn(std::int32_t acts, Unwinds unwinds) {
  Runnable& me = running();
  Context& context = *me.context;
  if (context.care.unwind_wanted && unwinds == Unwinds::yes) unwind_if_due();
  // Where its acts are counted downwards from 0 there may be some left.
  if (me.acts == 0 && acts_left >= -life_.turns.most_of(me)) return;
  give_turn(unwinds);
  acts_left -= acts;
}

void SchedulerCore::end_turn_of_act() {
  if (is_watched) watch(mothreads::internal::Step::before, {"looks for what others of its thread have for it", nullptr, nullptr});
  end_turn(1, Unwinds::yes);
}

void SchedulerCore::watch(mothreads::internal::Step step, const mothreads::internal::WaitDescription& what) noexcept {
  const FiberBlock* const fiber = running_fiber();
  if (fiber != nullptr && fiber->state == FiberBlock::State::ended) return;  // half of its end is done
  life_.conductor->watch(step, what);
}

void SchedulerCore::give_turn(Unwinds unwinds) {
  const FiberBlock* const fiber = running_fiber();
  if (running().context->care.callbacks_running > 0 || (fiber != nullptr && fiber->state == FiberBlock::State::ended)) {
    begin_turn(running());  // others would see what go(), or its end, has half done
  } else if (unwinds == Unwinds::yes) {
    yield();
  } else {
    const mothreads::internal::NoUnwind whole;
    yield();
  }
}

// --- rounds ------------------------------------------------------------------------------------------------------------------

// Inlined: each round that has to look goes through it.
[[gnu::always_inline]] inline void SchedulerCore::gather() noexcept {
  RunQueue& queue = life_.queue;
  queue.count_round();
  if (!inbox_.is_empty()) inbox_.take_into(queue.ready());
  if (life_.callbacks.has_calls()) life_.callbacks.take();
  if ((!life_.timers.is_empty() || io_waits_ != 0) && life_.timers.look_is_due(queue.has_ready() || queue.has_yielded())) look();
  if (life_.timers.lacks_stamp(queue.rounds())) wait_stamp = life_.timers.stamp(queue.rounds());
  life_.just_polled = false;
  queue.let_in_yielded();
  if (!queue.has_ready() && !life_.until_idle.is_empty()) {
    while (WaitNode* idler = life_.until_idle.claim_front_on_host()) end_wait(*idler, Why::ready);
  }
}

void SchedulerCore::gather_for_conductor() noexcept { gather(); }

Runnable& SchedulerCore::next_round() noexcept {
  if (life_.conductor != nullptr) [[unlikely]] return life_.conductor->next();
  while (true) {
    gather();
    if (Runnable* first = life_.queue.begin_round()) return *first;
    sleep();
  }
}

void SchedulerCore::look() noexcept {
  const RunQueue& queue = life_.queue;
  Timers& timers = life_.timers;
  const std::int64_t now = timers.begin_look();
  if (!timers.is_empty()) wait_stamp = timers.stamp(queue.rounds(), now);
  if (io_waits_ != 0 && !life_.just_polled) {
    // Ready descriptors come before the limits that are due. With nothing to do but to sleep the poller is asked there, once.
    const bool will_sleep = !queue.has_ready() && !queue.has_yielded() && life_.until_idle.is_empty() &&
                            (timers.is_empty() || timers.first_time() > now);
    if (!will_sleep) life_.poller->poll(absl::ZeroDuration());
  }
  timers.fire_due(now);
}

// --- sleeping ----------------------------------------------------------------------------------------------------------------

void SchedulerCore::sleep() noexcept {
  life_.timers.outlive_stamp(life_.queue.rounds());
  life_.stacks.give_back_ended();
  if (life_.stacks.tidy()) return;  // it took a while: look again
  const mothreads::Clock& clock = this->clock();
  const std::optional<Instant> deadline = life_.timers.next_wake();
  if (io_waits_ != 0) return sleep_in_poller(deadline);
  if (clock.is_real()) {
    if (life_.spinner->spin([this] { return !inbox_.is_empty() || life_.callbacks.has_calls(); }, 1)) return;
  }
  if (!inbox_.begin_sleep(Inbox::Sleep::on_futex)) return;
  ++life_.sleeps;  // from here on somebody may wake it
  if (!life_.callbacks.has_calls()) {
    if (clock.is_real() || !deadline) {
      inbox_.await(deadline);
    } else {
      // The wheel's first time exactly: a look too early would find nothing, and this time does not pass by itself.
      Alarm alarm(inbox_);
      life_.timers.clock().timers(mothreads::internal::kAccess).add(alarm, life_.timers.first_time());
      inbox_.await(std::nullopt);
      if (!life_.timers.clock().timers(mothreads::internal::kAccess).cancel(alarm)) alarm.await();
    }
  }
  inbox_.end_sleep(Inbox::Sleep::on_futex);
}

// The same for descriptors, too.
void SchedulerCore::sleep_in_poller(const std::optional<Instant>& deadline) noexcept {
  if (!inbox_.begin_sleep(Inbox::Sleep::in_poll)) return;
  ++life_.sleeps;
  if (!life_.callbacks.has_calls()) {
    if (!deadline) {
      life_.poller->poll(std::nullopt);
    } else if (clock().is_real()) {
      life_.poller->poll(absl::FromChrono(*deadline - clock().now()));
    } else {
      Alarm alarm(inbox_);
      life_.timers.clock().timers(mothreads::internal::kAccess).add(alarm, life_.timers.first_time());
      life_.poller->poll(std::nullopt);
      if (!life_.timers.clock().timers(mothreads::internal::kAccess).cancel(alarm)) alarm.await();
    }
    life_.just_polled = true;
  }
  // Takes the mark away, too. What others posted comes before what the kernel said, as in every round.
  mothreads::internal::Fifo<Runnable>& ready = life_.queue.ready();
  mothreads::internal::Fifo<Runnable> arrived;
  arrived.append(ready);
  inbox_.take_into(ready);
  if (life_.callbacks.has_calls()) life_.callbacks.take();
  ready.append(arrived);
}

Poller& SchedulerCore::make_poller() {
  life_.poller = std::make_unique<Poller>(*this);
  return *life_.poller;
}

SchedulerCounts SchedulerCore::counts() const noexcept {
  return {.switches = life_.switcher.switches(), .rounds = life_.queue.rounds(), .sleeps = life_.sleeps, .wakes = inbox_.wakes()};
}

}  // namespace cooperative::internal
