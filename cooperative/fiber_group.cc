#include "cooperative/fiber_group.h"

#include <utility>

#include <fmt/core.h>

#include "cooperative/errors.h"
#include "cooperative/internal/scheduler/fiber_member.h"
#include "cooperative/internal/scheduler/groups.h"
#include "mothreads/ended.h"
#include "mothreads/internal/tree/node.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0 {

using internal::SchedulerCore;
using mothreads::Ended;
using mothreads::Misuse;
using mothreads::Why;

namespace {

FiberGroupOptions named(std::string_view name, FiberGroupOptions options) {
  options.name = name;
  return options;
}

std::string list_failures(const std::vector<mothreads::EndRecord>& ends) {
  std::string text = ends.size() == 1 ? "A fiber failed" : fmt::format("{} fibers failed", ends.size());
  const char* separator = ": ";
  for (const mothreads::EndRecord& end : ends) {
    text += fmt::format("{}\"{}\": {}", separator, end.name, mothreads::log::describe(end.exception));
    separator = "; ";
  }
  return text;
}

}  // namespace

FibersFailed::FibersFailed(std::vector<mothreads::EndRecord> ends)
    : std::runtime_error(list_failures(ends)), ends_(std::move(ends)) {}

FiberGroup::FiberGroup(std::string_view name, const FiberGroupOptions& options) : FiberGroup(named(name, options)) {}

FiberGroup::FiberGroup(const FiberGroupOptions& options) : place_(std::make_shared<internal::GroupPlace>(options.name)) {
  if (options.name.empty()) throw Misuse("a FiberGroup needs a name: give one that says what its members do");
  place_->stop_in_turn = options.stop_in_turn;
  place_->fail_fast = options.fail_fast;
  place_->stop_limit = options.stop_limit;
  SchedulerCore& core = SchedulerCore::current();
  const internal::ParentRef& parent = options.parent.ref(mothreads::internal::kAccess);
  if (parent.block != nullptr) internal::check_parent("FiberGroup", options.name, core, parent);
  internal::open_group(core, *place_, parent);
}

FiberGroup::~FiberGroup() {
  if (place_->born.is_left_behind() && !place_->core->is_its_thread()) return;  // its thread is the parent's, and so are its failures
  if (place_->block != nullptr) {
    if (!place_->core->is_its_thread()) {
      mothreads::internal::fatal_misuse(fmt::format("FiberGroup \"{}\" was destroyed on another thread than its members': let the "
                                                    "thread that made it destroy it", name()));
    }
    internal::step_out(*place_);
    if (place_->core->runs_below(*place_->block)) {
      mothreads::internal::fatal_misuse(fmt::format("FiberGroup \"{}\" was destroyed by one of its own members, which it would wait "
                                                    "for: let the fiber that made it destroy it", name()));
    }
    const mothreads::internal::NoUnwind whole;
    internal::close_group(*place_);
  }
  while (!place_->failures.empty()) {  // the log's sink may be slow, and others fail
    for (const mothreads::EndRecord& end : std::exchange(place_->failures, {})) mothreads::internal::report_unclaimed_failure(end);
  }
}

void FiberGroup::join(const mothreads::Until& until) {
  if (place_->born.is_left_behind()) {
    throw Misuse(fmt::format("FiberGroup \"{}\" was made before a fork(), and its members are in the parent: join it there", name()));
  }
  SchedulerCore* its = core();
  if (its != nullptr) internal::step_out(*place_);
  if (its != nullptr && its->runs_below(*place_->block)) {
    throw Misuse(fmt::format("FiberGroup \"{}\" is joined by one of its own members, which it would wait for: let the fiber that "
                             "made it join it", name()));
  }
  if (its != nullptr) {
    its->spend_act();
    if (const Ended ended = internal::await_members(*place_, its->start(until)); !ended) {
      mothreads::throw_ended_early(ended.why(), name(), fmt::format("the join of FiberGroup \"{}\" {} before all members had ended", name(),
                                                                    ended.why() == Why::stopped ? "was stopped" : "timed out"));
    }
  }
  const std::vector<mothreads::EndRecord> failed = std::exchange(place_->failures, {});
  if (!failed.empty()) throw FibersFailed(failed);
}

FiberGroup& FiberGroup::stop() {
  if (core() != nullptr) internal::stop_group(*place_);
  return *this;
}

std::size_t FiberGroup::size() const {
  static_cast<void>(core());
  return place_->members;
}

SchedulerCore* FiberGroup::core() const {
  if (place_->block == nullptr) return nullptr;
  if (!place_->core->is_its_thread()) {
    throw Misuse(fmt::format("FiberGroup \"{}\" was used on another thread than its own: post a callback to its scheduler, or use its "
                             "please_stop()", name()));
  }
  return place_->core;
}

FiberGroup::operator mothreads::Member() const { return mothreads::Member(internal::FiberMember::of(*parent().ref(mothreads::internal::kAccess).block), mothreads::internal::kAccess); }

FiberParent FiberGroup::parent() const {
  if (core() == nullptr) {
    throw Misuse(fmt::format("FiberGroup \"{}\" takes no more members, because the fiber that made it has ended: make the group in one "
                             "that still runs", name()));
  }
  return FiberParent({place_->block, place_->block->id}, mothreads::internal::kAccess);
}

}  // namespace cooperative
