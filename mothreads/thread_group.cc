#include "mothreads/thread_group.h"

#include <fmt/core.h>

#include "mothreads/clock.h"
#include "mothreads/contexts/context.h"
#include "mothreads/internal/runtime.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"

namespace mothreads {
namespace internal {

GroupNode::GroupNode(const ThreadGroupOptions& options, Clock& clock)
    : Node(options.name, Signal("please_stop for " + options.name), clock),
      stop_in_turn_(options.stop_in_turn),
      fail_fast_(options.fail_fast) {}

bool GroupNode::child_failed(const std::string& name, const std::exception_ptr& failure) {
  {
    TinyLock lock(failures_mutex_);
    failures_.emplace_back(name, failure);
  }
  if (fail_fast_) request_stop();
  return true;
}

std::vector<std::pair<std::string, std::exception_ptr>> GroupNode::take_failures() {
  TinyLock lock(failures_mutex_);
  return std::exchange(failures_, {});
}

Ended GroupNode::await_members(const Until& until) {
  const Until limit = until.from_now();
  for (auto members = children(); !members.empty(); members = children()) {
    // Oldest first, for the reason in Node::stop_children().
    for (auto member = members.rbegin(); member != members.rend(); ++member) {
      if (const Ended ended = (*member)->stopped().wait(limit); !ended) return ended;
      (*member)->await_end();
      (*member)->detach();
    }
  }
  reap_left_over();
  return Why::ready;
}

void GroupNode::await_end() {
  end_children();
  mark_stopped();
}

void GroupNode::tell_children(const std::vector<Ref<Node>>& newest_first, const std::optional<Instant>& deadline) {
  if (stop_in_turn_) {
    tell_next(deadline);
  } else {
    Node::tell_children(newest_first, deadline);
  }
}

void GroupNode::tell_next(const std::optional<Instant>& deadline) {
  for (const Ref<Node>& member : children()) {
    if (member->stopped()) continue;
    // Whether it was told before says nothing: somebody may have told it alone.
    if (in_turn_.exchange(member->id()) == member->id()) return;
    member->request_stop(deadline, clock());
    member->stopped().then([group = Ref<GroupNode>(*this)] { group->tell_next(group->deadline()); });
    return;
  }
}

}  // namespace internal

ThreadGroup::ThreadGroup(const ThreadGroupOptions& options)
    : node_(internal::Ref<internal::GroupNode>::adopt(new internal::GroupNode(options, Clock::current()))) {
  if (options.name.empty()) throw Misuse("a ThreadGroup needs a name: give one that says what its members do");
  node_->attach_to(internal::parent_for_new());
}

ThreadGroup::~ThreadGroup() {
  if (node_->is_left_behind()) return;  // its members are not in this process
  if (internal::Context::current().node->is_below(*node_)) {
    internal::fatal_misuse(fmt::format("ThreadGroup \"{}\" was destroyed by one of its own members, which it would wait for: let "
                                       "the thread that made it destroy it",
                                       name()));
  }
  const internal::NoUnwind whole;
  node_->request_stop();
  node_->await_end();
  node_->detach();
  for (const auto& [member, failure] : node_->take_failures()) internal::report_unclaimed_failure("thread", member, failure);
}

void ThreadGroup::join(const Until& until) {
  if (node_->is_left_behind()) {
    throw Misuse(fmt::format("ThreadGroup \"{}\" was made in the process that made this one by fork(), where its members are: join it there",
                             name()));
  }
  if (internal::Context::current().node->is_below(*node_)) {
    throw Misuse(fmt::format("ThreadGroup \"{}\" is joined by one of its own members, which it would wait for: let the thread that "
                             "made it join it",
                             name()));
  }
  if (const Ended ended = node_->await_members(until); !ended) {
    throw ThreadTimeout(fmt::format("ThreadGroup {} timeout: the join {} before all members had stopped", name(),
                                    ended.why() == Why::stopped ? "was stopped" : "timed out"));
  }
  auto failed = node_->take_failures();
  if (failed.empty()) return;
  std::vector<ThreadsFailed::Failure> failures;
  for (auto& [member, failure] : failed) failures.push_back({std::move(member), std::move(failure)});
  throw ThreadsFailed(std::move(failures));
}

}  // namespace mothreads
