// Whose turn it is in a test world.

#include <cxxabi.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/core.h>

#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/internal/stack/switch.h"
#include "cooperative/internal/world/world_core.h"
#include "cooperative/internal/world/world_thread.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0::internal {

using mothreads::internal::Context;
using mothreads::internal::fatal_misuse;
using mothreads::internal::Step;
using mothreads::internal::TimerWheel;
using mothreads::internal::WaitDescription;

namespace {

// Code that runs takes time: after so many switches at one instant the time comes that somebody sleeps for, lest those who wait for it
// in a loop do so for ever. Much earlier when nobody does anything but yield.
constexpr std::uint64_t kSwitchesPerInstant = 1'000'000;
constexpr std::uint64_t kYieldsPerInstant = 10'000;

constexpr std::size_t kMostName = 200;

}  // namespace

// Somebody can run, or a time comes, or it is a deadlock.
Runnable& WorldCore::next(WorldOrder::Kind kind) noexcept {
  give_back_ended();
  const bool is_long = ++switches_since_jump_ >= kSwitchesPerInstant || only_yields_ >= kYieldsPerInstant;
  if (is_long && first_time() != TimerWheel::kNever) let_time_pass();
  while (true) {
    if (Runnable* runnable = choose(kind)) {
      Context::set_current(runnable->context);
      return *runnable;
    }
  }
}

void WorldCore::list_able() {
  able_.clear();
  if (clock_.is_due()) able_.push_back(kWorldTimers);
  for (const auto& thread : threads_) {
    if (thread->is_able()) able_.push_back(thread->number);
  }
  if (caller_is_ready_) able_.push_back(kWorldCaller);
}

// Null when who was chosen had nothing to run after all.
Runnable* WorldCore::choose(WorldOrder::Kind kind) noexcept {
  list_able();
  if (able_.empty()) {
    let_time_pass();
    return nullptr;
  }
  const Thread* const last = find(last_);
  const bool only_yields = kind == WorldOrder::Kind::wait && last != nullptr && last->only_yields();
  const WorldOrder::Answer answer = order_.choose({.who = last_, .kind = kind, .only_yields = only_yields}, able_);
  if (options_.most_places != 0 && order_.places() > options_.most_places) {
    fail(WorldEnd::too_long, fmt::format("it has not ended after {} places where others could run", options_.most_places));
  }
  if (answer.is_forced) note_switch(kind, answer.to);
  if (options_.lists_others) note_others(answer.to);
  last_ = answer.to;
  return take(answer.to);
}

Runnable* WorldCore::take(WorldId one) noexcept {
  Runnable* runnable = nullptr;
  std::uint64_t what = 0;
  if (Thread* const thread = find(one)) {
    runnable = thread->take();
    if (runnable != nullptr) what = std::uint64_t{thread->number} << 32 | thread->number_of(*runnable);
  } else {
    SchedulerCore::set_current(nullptr);
    if (one == kWorldCaller) caller_is_ready_ = false;
    runnable = one == kWorldTimers ? &timers_ : &*caller_;
  }
  signature_ = mix(signature_ ^ mix(what + static_cast<std::uint64_t>(clock_.nanoseconds())));
  return runnable;
}

WorldCore::Thread* WorldCore::find(WorldId one) const noexcept {
  const auto at = std::lower_bound(threads_.begin(), threads_.end(), one, [](const auto& thread, WorldId number) { return thread->number < number; });
  return at != threads_.end() && (*at)->number == one ? at->get() : nullptr;
}

std::int64_t WorldCore::first_time() const noexcept {
  std::int64_t first = clock_.first_time();
  for (const auto& thread : threads_) first = std::min(first, thread->first_time());
  return first;
}

void WorldCore::let_time_pass() noexcept {
  const std::int64_t time = first_time();
  if (time == TimerWheel::kNever) {
    fail(WorldEnd::deadlock, "a deadlock: all wait, and no time that may come ends a wait. Who waits:" + describe_waits());
  }
  clock_.move_to(time);
  switches_since_jump_ = only_yields_ = 0;
}

// --- where a thread could be interrupted -----------------------------------------------------------------------------------------

void WorldCore::interrupt(WorldOrder::Kind kind, std::string_view what) noexcept {
  SchedulerCore* const core = SchedulerCore::current_or_null();
  if (core == nullptr || !core->is_of_world()) return;  // the timers
  Runnable& me = core->running();
  auto& thread = static_cast<Thread&>(*core->rooms().conductor);
  thread.interrupted = &me;
  // Only where two wait for each other in loops does time pass.
  if (order_.in_a_row() > WorldOrder::kMostInARow && first_time() != TimerWheel::kNever) {
    list_able();
    if (able_.size() == 1) let_time_pass();
  }
  operation_ = what;
  Runnable* to = nullptr;
  give_back_ended();
  while (to == nullptr) to = choose(kind);
  Context::set_current(to->context);
  operation_ = {};
  if (to == &me) return;
  ++switches_since_jump_;
  const std::int32_t acts = core->acts_left;  // of the turn that goes on
  core->switch_to(me, *to);
  core->acts_left = acts;
}

void WorldCore::post_may_be_interrupted() noexcept {
  if (options_.every_operation) {
    interrupt(WorldOrder::Kind::operation, "at a post to a scheduler");
  } else if (options_.interrupt_posts) {
    interrupt();
  }
}

void WorldCore::watch(Step step, const WaitDescription& what) noexcept {
  if (!options_.describes) {
    if (step != Step::comes) interrupt(WorldOrder::Kind::operation, {});
    return;
  }
  const Runnable* const me = &SchedulerCore::current().running();
  std::string& operation = operations_[me];
  if (step != Step::after) {
    char name[kMostName] = "";
    if (what.write_name != nullptr) what.write_name(what.object, name, sizeof name);
    operation = what.verb == nullptr ? "does something" : what.verb;
    if (*name != '\0') operation += fmt::format(" \"{}\"", name);
  }
  if (step == Step::comes) return;
  const std::string text = (step == Step::before ? "before it " : "after it ") + operation;
  interrupt(WorldOrder::Kind::operation, text);
}

// --- what is said of it ------------------------------------------------------------------------------------------------------------

std::string WorldCore::title_of(WorldId one) const {
  if (one == kWorldTimers) return "the timers";
  if (one == kWorldCaller) return "who called run()";
  const Thread* const thread = find(one);
  return thread == nullptr ? ended_title_ : thread->title();
}

void WorldCore::note_switch(WorldOrder::Kind kind, WorldId to) {
  if (options_.trace == nullptr) return;
  options_.trace->add({.who = last_, .to = to, .point = order_.point()});
  if (!options_.describes) return;
  const Thread* const thread = find(last_);
  const std::string who = thread == nullptr ? title_of(last_) : thread->title_of_running();
  std::string where(operation_);
  if (kind == WorldOrder::Kind::hint) where = "could be interrupted";
  if (kind == WorldOrder::Kind::wait) {
    char wait[kMostName] = "";
    const bool waits = thread != nullptr && thread->core != nullptr &&
                       thread->core->running().context->write_wait_on_host(wait, sizeof wait);
    where = waits ? wait : last_ == kWorldTimers ? "have let go what was due" : thread == nullptr ? "ends" : "gives up its turn";
  }
  options_.trace->write(fmt::format("{}\t{}\t{}\n", who, where, title_of(to)));
}

void WorldCore::note_others(WorldId to) noexcept {
  for (const WorldId one : able_) {
    if (one != to && one != kWorldCaller) options_.trace->add_other({.who = last_, .to = one, .point = order_.point()});
  }
}

std::string WorldCore::describe_waits() const {
  std::string text;
  for (const auto& thread : threads_) thread->describe_waits(text);
  return text;
}

void WorldCore::note_end() const noexcept {
  if (options_.trace == nullptr) return;
  options_.trace->places = order_.places();
  options_.trace->signature = signature();
}

void WorldCore::fail(WorldEnd end, std::string_view what) const noexcept {
  const std::string text = fmt::format("World seed {}: {}", seed(), what);
  note_end();
  if (options_.warden != nullptr) options_.warden->run_fails(end, text);
  fatal_misuse(text);
}

}  // namespace cooperative::internal
