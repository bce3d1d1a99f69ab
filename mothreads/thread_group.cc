#include "mothreads/thread_group.h"

#include <fmt/core.h>

#include "mothreads/clock.h"
#include "mothreads/internal/runtime.h"
#include "mothreads/internal/tree/lost.h"
#include "mothreads/internal/tree/stop_walk.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"

namespace mothreads::inline v0 {
namespace internal {

GroupNode::GroupNode(const ThreadGroupOptions& options, Clock& clock)
    : Node(options.name, Signal("please_stop for " + options.name), clock),
      stop_in_turn_(options.stop_in_turn),
      fail_fast_(options.fail_fast),
      stop_limit_(options.stop_limit),
      when_stuck_(options.when_stuck) {}

bool GroupNode::child_failed(const EndRecord& end) {
  {
    TinyLock lock(failures_mutex_);
    failures_.push_back(end);
  }
  if (fail_fast_) request_stop();
  return true;
}

void GroupNode::tell_chooser(const StopReport& report) {
  const Signal told;
  {
    TinyLock lock(telling_mutex_);
    telling_ = told;
  }
  when_stuck_->tell(report, kAccess);
  told.go();
}

void GroupNode::await_telling() const {
  std::optional<Signal> telling;
  {
    TinyLock lock(telling_mutex_);
    telling = telling_;
  }
  if (telling) telling->wait();
}

std::vector<EndRecord> GroupNode::take_failures() {
  TinyLock lock(failures_mutex_);
  return std::exchange(failures_, {});
}

Ended GroupNode::await_members(const Until& until) {
  const Limit limit(until);
  for (auto members = children(); !members.empty(); members = children()) {
    // Oldest first, for the reason in Node::stop_children().
    for (auto member = members.rbegin(); member != members.rend(); ++member) {
      if (const Ended ended = wait_stopped_or_lost(**member, limit); !ended) return ended;
      (*member)->await_end();
      (*member)->detach();
    }
  }
  left_over().reap();
  return Why::ready;
}

void GroupNode::await_end() {
  end_children();
  mark_stopped();
}

std::vector<Ref<Node>> GroupNode::first_to_tell(const std::optional<Instant>& deadline) {
  return stop_in_turn_ ? take_turn() : Node::first_to_tell(deadline);
}

// acq_rel on `turns_`: each looker sees what the one before it has written.
std::vector<Ref<Node>> GroupNode::take_turn() {
  if (turns_.fetch_add(1, std::memory_order_acq_rel) != 0) return {};
  return look_for_next();
}

std::vector<Ref<Node>> GroupNode::look_for_next() {
  do {
    Ref<Node> member = newest_running_child();
    // Whether it was told before says nothing: somebody may have told it alone.
    if (member && std::exchange(in_turn_, member->id()) != member->id()) {
      being_told_ = member;
      std::vector<Ref<Node>> only;
      only.push_back(std::move(member));
      return only;
    }
  } while (turns_.fetch_sub(1, std::memory_order_acq_rel) != 1);
  return {};
}

// For the looker, when the member has been told.
std::vector<Ref<Node>> GroupNode::next_to_tell() {
  if (!stop_in_turn_) return {};
  const Ref<Node> told = std::move(being_told_);
  told->stopped().then([group = Ref<GroupNode>(*this)] { group->tell_next(); });
  told->ending().lost().then([group = Ref<GroupNode>(*this)] { group->tell_next(); });
  if (turns_.fetch_sub(1, std::memory_order_acq_rel) == 1) return {};
  return look_for_next();
}

void GroupNode::tell_next() { StopWalk().tell(*this, take_turn()); }

}  // namespace internal

namespace {

ThreadGroupOptions named(std::string_view name, ThreadGroupOptions options) {
  options.name = name;
  return options;
}

}  // namespace

ThreadGroup::ThreadGroup(std::string_view name, const ThreadGroupOptions& options) : ThreadGroup(named(name, options)) {}

ThreadGroup::ThreadGroup(const ThreadGroupOptions& options)
    : node_(internal::Ref<internal::GroupNode>::adopt(new internal::GroupNode(options, Clock::current()))) {
  if (options.name.empty()) throw Misuse("a ThreadGroup needs a name: give one that says what its members do");
  if (!options.parent.is_empty()) {
    node_->attach_to(*options.parent.get(internal::kAccess).home_of_threads());
    return;
  }
  // At the end of a member a group is made beside the member's group, which may be about to be destroyed.
  internal::Ref<internal::Node> parent = internal::parent_for_new();
  while (parent->kind() == MemberKind::thread_group) parent = parent->next_above();
  node_->attach_to(*parent);
}

ThreadGroup::~ThreadGroup() {
  if (node_->is_left_behind()) return;  // its members are not in this process
  internal::Context::current().node->step_out(*node_);
  if (internal::Context::current().node->is_below(*node_)) {
    internal::fatal_misuse(fmt::format("ThreadGroup \"{}\" was destroyed by one of its own members, which it would wait for: let "
                                       "the thread that made it destroy it",
                                       name()));
  }
  const internal::NoUnwind whole;
  node_->request_stop();
  try {
    node_->await_end();
    node_->await_telling();
  } catch (const Misuse& misuse) {
    internal::fatal_misuse(fmt::format("ThreadGroup \"{}\" was destroyed where its members cannot be waited for: {}", name(), misuse.what()));
  }
  node_->detach();
  for (const EndRecord& end : node_->take_failures()) internal::report_unclaimed_failure(end);
}

void ThreadGroup::join(const Until& until) {
  if (node_->is_left_behind()) {
    throw Misuse(fmt::format("ThreadGroup \"{}\" was made in the process that made this one by fork(), where its members are: join it there",
                             name()));
  }
  internal::Context::current().node->step_out(*node_);
  if (internal::Context::current().node->is_below(*node_)) {
    throw Misuse(fmt::format("ThreadGroup \"{}\" is joined by one of its own members, which it would wait for: let the thread that "
                             "made it join it",
                             name()));
  }
  if (const Ended ended = node_->await_members(until); !ended) {
    throw_ended_early(ended.why(), name(),
                      fmt::format("ThreadGroup {} timeout: the join {} before all members had stopped", name(),
                                  ended.why() == Why::stopped ? "was stopped" : "timed out"));
  }
  const std::vector<EndRecord> failed = node_->take_failures();
  if (!failed.empty()) throw ThreadsFailed(failed);
}

}  // namespace mothreads
