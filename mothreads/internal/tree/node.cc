#include "mothreads/internal/tree/node.h"

#include <algorithm>

#include <fmt/core.h>

#include "mothreads/clock.h"
#include "mothreads/internal/stop_report.h"
#include "mothreads/internal/tree/lost.h"
#include "mothreads/internal/tree/stop_walk.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"
#include "mothreads/stopping.h"
#include "mothreads/until.h"
#include "mothreads/when_stuck.h"

namespace mothreads::inline v0::internal {
namespace {

constinit std::atomic<std::uint64_t> next_id{1};

}  // namespace

Node::Node(std::string_view name, Signal please_stop, Clock& clock)
    : StopWatch(clock),
      id_(next_id.fetch_add(1, std::memory_order_relaxed)),
      name_(name),
      please_stop_(std::move(please_stop)),
      stopped_(SignalState::make_owned("stopped of " + name_, "call stop() to ask for the end, or let it end"), kAccess) {}

Node::~Node() = default;

void Node::attach_to(Node& parent) {
  bool told = false;
  std::optional<Instant> deadline;
  Ref<Node> watcher;
  if (parent.is_left_behind()) {
    throw Misuse(fmt::format("\"{}\" cannot be started under \"{}\", which runs in the process that made this one by fork(): start it under "
                             "MainThread::thread(), or in a group that is made here", name_, parent.name_));
  }
  if (!own_end_.has_begun()) {
    const WhenStuck* const choice = parent.when_stuck();
    own_end_.begin(clock().now(), choice != nullptr ? !choice->ends_process() : parent.own_end_.may_be_lost(), name_);
  }
  {
    TinyLock lock(parent.mutex_);
    if (parent.ended_) {
      throw Misuse(fmt::format("\"{}\" cannot be started under \"{}\", which has ended: start it under a parent that still runs",
                               name_, parent.name_));
    }
    if (parent.watched_ && parent.is_only_its_children() && !parent.has_running_child()) {
      // All of the stop that it watches over have ended. One of somebody above holds for who comes now, too.
      parent.watch_is_over_ = true;
      parent.deadline_ = parent.inherited_;
    }
    ref();
    depth_ = parent.depth_ + 1;
    parent.children_.push_front(*this);
    told = parent.told_ || parent.ending_;
    deadline = parent.deadline_;
    watcher = parent.watched_ ? Ref<Node>(parent) : parent.watcher_;
  }
  {
    parent.ref();
    TinyLock lock(mutex_);
    parent_ = &parent;
  }
  if (told) StopWalk().tell(*this, {.deadline = deadline, .clock = &parent.clock(), .watcher = std::move(watcher)});
}

void Node::detach() {
  if (is_left_behind()) return;
  Node* parent = nullptr;
  {
    TinyLock lock(mutex_);
    parent = std::exchange(parent_, nullptr);
  }
  if (parent == nullptr) return;
  {
    TinyLock lock(parent->mutex_);
    parent->children_.take_out(*this);
  }
  parent->unref();
  unref();
}

Ref<Node> Node::parent() const {
  if (is_left_behind()) return {};
  TinyLock lock(mutex_);
  return parent_ == nullptr ? Ref<Node>() : Ref<Node>(*parent_);
}

Ref<TreeMember> Node::above() const { return parent(); }

std::vector<Ref<TreeMember>> Node::below() const {
  std::vector<Ref<TreeMember>> members;
  for (Ref<Node>& child : children()) {
    if (!child->is_part_of_parent()) members.emplace_back(std::move(child));
  }
  std::reverse(members.begin(), members.end());
  return members;
}

Ref<Node> Node::home_of_threads() { return Ref<Node>(parent_of_new()); }

std::vector<Ref<Node>> Node::children() const {
  std::vector<Ref<Node>> children;
  if (is_left_behind()) return children;
  TinyLock lock(mutex_);
  for (Node* child = children_.first(); child != nullptr; child = children_.after(*child)) children.emplace_back(*child);
  return children;
}

bool Node::takes_no_more() const {
  if (is_left_behind()) return true;
  TinyLock lock(mutex_);
  return ended_;
}

Ref<Node> Node::newest_running_child() const {
  if (is_left_behind()) return {};
  TinyLock lock(mutex_);
  for (Node* child = children_.first(); child != nullptr; child = children_.after(*child)) {
    if (!child->stopped_ && !child->own_end_.is_lost()) return Ref<Node>(*child);
  }
  return {};
}

bool Node::is_below(const Node& ancestor) const {
  if (this == &ancestor) return true;
  if (depth_ <= ancestor.depth_) return false;
  for (Ref<Node> node = parent(); node && node->depth_ >= ancestor.depth_; node = node->parent()) {
    if (node.get() == &ancestor) return true;
  }
  return false;
}

bool Node::was_told_to_stop() const {
  if (is_left_behind()) return false;
  TinyLock lock(mutex_);
  return told_;
}

std::optional<Instant> Node::deadline() const {
  if (is_left_behind()) return std::nullopt;
  TinyLock lock(mutex_);
  return deadline_;
}

// Who has been noted is below somebody who has, or who is just being told and will come by.
void Node::note_untold() {
  if (is_left_behind()) return;
  for (Ref<Node> node(*this); node; node = node->parent()) {
    TinyLock lock(node->mutex_);
    if (std::exchange(node->has_untold_, true)) return;
  }
}

StopProgress Node::progress() const {
  // Relaxed: a report needs no more than figures of about the same time.
  return {.told = counted_told_.load(std::memory_order_relaxed), .stopped = counted_stopped_.load(std::memory_order_relaxed)};
}

Node::Settled Node::settle_deadline(const std::optional<Instant>& inherited, const Ref<Node>& watcher) {
  const std::optional<absl::Duration> own_limit = own_stop_limit();
  const absl::Duration allowed = own_limit ? std::max(*own_limit, absl::ZeroDuration()) : stop_deadline();
  bool watched = false;
  Settled settled;
  {
    TinyLock lock(mutex_);
    const std::optional<Instant> before = deadline_;
    if (inherited && (!inherited_ || *inherited < *inherited_)) inherited_ = inherited;
    if (inherited_ && (!deadline_ || *inherited_ < *deadline_)) deadline_ = inherited_;
    if (!watched_ && !watch_is_over_ && allowed != absl::InfiniteDuration()) {
      const Instant own = clock().now() + std::chrono::nanoseconds(absl::ToInt64Nanoseconds(allowed));
      // One that was inherited is watched by whoever set it, whose node ends after this one; but not where this one has less time.
      if (!deadline_ || (own_limit && own < *deadline_)) {
        deadline_ = own;
        watched = watched_ = true;
      }
    }
    if (!watched_ && !watcher_) watcher_ = watcher;
    settled.deadline = deadline_;
    settled.has_changed = deadline_ != before;
    settled.watcher = watched_ ? Ref<Node>(*this) : watcher_;
  }
  if (watched) watch_until(*settled.deadline);
  return settled;
}

void Node::be_counted(Node& watcher) {
  if (is_part_of_parent() || is_only_its_children()) return;
  {
    TinyLock lock(mutex_);
    if (std::exchange(is_counted_, true)) return;
  }
  watcher.counted_told_.fetch_add(1, std::memory_order_relaxed);  // a figure, see progress()
}

bool Node::has_ended() const noexcept {
  if (stopped_ || own_end_.is_lost()) return true;
  if (!is_only_its_children()) return false;
  TinyLock lock(mutex_);
  return watch_is_over_ || !has_running_child();
}

bool Node::has_running_child() const noexcept {
  for (const Node* child = children_.first(); child != nullptr; child = children_.after(*child)) {
    if (!child->stopped_ && !child->own_end_.is_lost()) return true;
  }
  return false;
}

void Node::end_process(std::string_view who) const { report_and_exit(who, *this); }

bool Node::may_unwind() const {
  if (unwinds_at_deadline()) return true;
  std::vector<Ref<Node>> left = children();
  while (!left.empty()) {
    const Ref<Node> node = std::move(left.back());
    left.pop_back();
    if (node->unwinds_at_deadline()) return true;
    for (Ref<Node>& child : node->children()) left.push_back(std::move(child));
  }
  return false;
}

bool Node::request_stop() { return StopWalk().tell(*this, {.deadline = std::nullopt, .clock = &clock(), .watcher = {}}); }

std::vector<Ref<Node>> Node::first_to_tell(const std::optional<Instant>&) { return children(); }

void Node::stop_children() {
  for (auto children = this->children(); !children.empty(); children = this->children()) {
    StopWalk().tell_those_below(*this);
    // Who was told last ends last, more or less: who waits for that one first sleeps once, not once for each child.
    for (auto child = children.rbegin(); child != children.rend(); ++child) {
      (*child)->await_end();
      (*child)->detach();
    }
  }
  if (!is_left_behind()) left_over_.reap();
}

void Node::end_children() {
  if (is_left_behind()) return;
  for (bool ended = false; !ended;) {
    {
      TinyLock lock(mutex_);
      ending_ = true;  // one of those that we wait for may add another, and wait for it
      ended = ended_ = children_.is_empty();
    }
    if (!ended) stop_children();
  }
  if (!is_left_behind()) left_over_.reap();
}

void Node::await_end() { static_cast<void>(wait_stopped_or_lost(*this, Until())); }

// --- its end -----------------------------------------------------------------------------------------------------------------------

namespace {

EndRecord record_of(const Node& node, How how, const std::exception_ptr& exception) {
  const Ref<Node> parent = node.parent();
  const Instant now = node.clock().now();
  return {.how = how,
          .kind = node.kind(),
          .name = node.name(),
          .id = node.id(),
          .under = parent ? parent->name() : std::string(),
          .exception = exception,
          .began = node.ending().has_begun() ? node.ending().began() : now,
          .ended = now};
}

}  // namespace

void Node::publish_end(How how, const std::exception_ptr& exception) {
  if (!is_left_behind()) own_end_.publish(record_of(*this, how, exception));
}

std::optional<WaitReport> Node::waits_on() const {
  std::optional<WaitReport> report;
  if (is_left_behind()) return report;
  context_.with([&](const Context& context) { report = context.waits_on(); });
  return report;
}

std::optional<EndRecord> Node::end() const { return is_left_behind() ? std::nullopt : own_end_.record(); }

bool Node::give_up() { return give_up_below(*this); }

std::optional<EndRecord> Node::note_loss() {
  if (is_left_behind()) return std::nullopt;
  EndRecord loss = record_of(*this, How::lost, std::make_exception_ptr(WasLost(fmt::format(
      "{} \"{}\" did not stop by its deadline and was marked lost: it still runs, and nobody waits for it", to_string(kind()), name_))));
  if (!own_end_.note_loss(loss)) return std::nullopt;
  keep_lost(*this);
  return loss;
}

void Node::mark_stopped() {
  if (is_left_behind()) return;
  if (!own_end_.is_over()) publish_end(How::returned, nullptr);
  Ref<Node> counts_this;
  {
    TinyLock lock(mutex_);
    if (is_counted_) counts_this = watcher_ ? std::move(watcher_) : Ref<Node>(*this);
  }
  if (counts_this) counts_this->counted_stopped_.fetch_add(1, std::memory_order_relaxed);  // a figure, see progress()
  const bool was_lost = own_end_.was_noted_lost();
  if (was_lost) {
    forget_lost(*this);
    log::warning("{} \"{}\", which was marked lost, has ended", to_string(kind()), name_);
  }
  stopped_.state(kAccess).go();  // go() itself is refused to everybody
  if (is_left_behind()) return;  // a function of it has called fork()
  if (was_lost) forget_lost(*this);  // who marked it may have come to that just now
  bool watched = false;
  {
    TinyLock lock(mutex_);
    watched = watched_;
  }
  if (watched) end_watch();
}

}  // namespace mothreads::internal
