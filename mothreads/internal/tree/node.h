#pragma once

// A place in the shutdown tree: whatever runs and can be told to stop, under the one who is responsible for it.
//
//     running -> (its function has ended: its children are told, newest first, and waited for) -> ended -> stopped
//
// A node that was told to stop, or waits for its children, tells a child that is added later at once. A node that has ended
// takes no more children. The tree may be of any depth: nothing here calls itself once for each level, and a node that has been told, with
// all below it, is told again only by a stop whose deadline is earlier.

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "mothreads/end_record.h"
#include "mothreads/ended.h"
#include "mothreads/instant.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/base/linked_list.h"
#include "mothreads/internal/base/ref.h"
#include "mothreads/internal/base/tiny_mutex.h"
#include "mothreads/internal/tree/ending.h"
#include "mothreads/internal/tree/left_over.h"
#include "mothreads/internal/tree/stop_watch.h"
#include "mothreads/internal/tree/tree_member.h"
#include "mothreads/internal/wait/context_slot.h"
#include "mothreads/internal/wait/hosted_context.h"
#include "mothreads/signal.h"
#include "mothreads/until.h"

namespace mothreads::inline v0 {
class Clock;
class StopReport;
class WhenStuck;
}

namespace mothreads::inline v0::internal {

class StopWalk;

// Of one stop: how many threads were told, and how many of those have stopped.
struct StopProgress {
  std::uint64_t told = 0;
  std::uint64_t stopped = 0;
};

class Node : public StopWatch, public TreeMember {
 public:
  Node(std::string_view name, Signal please_stop, Clock& clock);

  void ref() noexcept final { StopWatch::ref(); }
  void unref() noexcept final { StopWatch::unref(); }

  const std::string& name() const final { return name_; }
  const Signal& please_stop() const final { return please_stop_; }
  // Also gone in a child of fork() that has been left nothing but the name: see internal/base/fork.h.
  const Signal& stopped() const final { return is_left_behind() ? DONE : stopped_; }
  // In a child of fork() it is none of those that run there: it tells nobody, and nobody waits for it.
  bool is_left_behind() const noexcept { return born_.is_left_behind(); }
  using StopWatch::clock;
  std::uint64_t id() const final { return id_; }

  // Joins the tree. Throws Misuse when the parent has ended. A parent that was told to stop tells it now.
  void attach_to(Node& parent);
  // Leaves it; nothing when it has left.
  void detach();
  Ref<Node> parent() const;
  std::vector<Ref<Node>> children() const;  // newest first
  Ref<Node> newest_running_child() const;
  bool is_below(const Node& ancestor) const;  // or the same; no steps when the ancestor is not nearer to the root
  Ref<TreeMember> above() const override;
  std::vector<Ref<TreeMember>> below() const override;
  Ref<Node> home_of_threads() override;

  // Tells this node and all below to stop; never blocks. The first request sets the deadline, one inherited from a parent can only make
  // it earlier. True for the first.
  bool request_stop();

  // Tells the children and waits until there are none. For the node's own context.
  void stop_children();
  // The same, and takes no more: the node's function has ended.
  void end_children();

  // For the node's own context: its end record, from now on. Without it mark_stopped() says `returned`.
  void publish_end(How how, const std::exception_ptr& exception);
  // For the node's own context, last: lets `stopped` go.
  void mark_stopped();
  std::optional<WaitReport> waits_on() const final;
  std::optional<EndRecord> end() const final;
  void ask_to_stop() final { request_stop(); }

  // --- a missed deadline, where one above has chosen that it is not the end of the process (when_stuck.h) ---------------------------

  // The node's choice for itself and those below; null when a node above has chosen.
  virtual const WhenStuck* when_stuck() const { return nullptr; }
  const Ending& ending() const { return own_end_; }
  // Gives its record to the first who marks it lost, unless it has ended. Who waits for it goes on when that one has told it so.
  std::optional<EndRecord> note_loss();
  virtual void is_marked_lost(const EndRecord& loss) { static_cast<void>(loss); }
  // Tells whoever has made the choice of this node.
  virtual void tell_chooser(const StopReport& report) { static_cast<void>(report); }

  // What it runs has got contexts that nobody has told, after the others were: the next stop comes by here again.
  void note_untold();

  bool was_told_to_stop() const;
  StopProgress progress() const;  // of the stop whose deadline this node set
  std::optional<Instant> deadline() const;  // on its own clock; none before it is told

  // Waits until it has stopped and nothing of it runs any more, or it has been marked lost; for its parent.
  virtual void await_end();

  // Of the OS threads of released children.
  LeftOver& left_over() noexcept { return left_over_; }

  // A child that nobody joins failed. True when this node answers for the failure; else it is logged.
  virtual bool child_failed(const EndRecord& end) {
    static_cast<void>(end);
    return false;
  }

  ContextSlot& context() noexcept { return context_; }
  const ContextSlot& context() const noexcept { return context_; }

  // Whether it belongs to the thread above it, as its scheduler does, and is no child that the thread made.
  virtual bool is_part_of_parent() const { return false; }

  // Whether it runs nothing itself, and may live on when its children have ended after a stop.
  virtual bool is_only_its_children() const { return false; }

  // Whether it may have children: a thread that the library does not know may not, nor one of the library's own.
  virtual bool takes_children() const { return true; }
  bool takes_no_more() const;  // children: it has ended
  // The nearest above that takes children; the main thread where there is none.
  Ref<Node> next_above() const;
  // Whether what its own context makes now belongs below it: not where that are functions of its end.
  virtual bool is_home_for_new() const { return takes_children() && !takes_no_more(); }
  // Its own context runs functions of its end, for which nobody below `group`, where it may be, waits any more: it leaves that group.
  virtual void step_out(const Node& group) { static_cast<void>(group); }

  // Where what it makes belongs.
  virtual Node& parent_of_new() { return *this; }

  // The contexts that it runs, for reports: any thread, for the others may be stuck. None when it cannot be known.
  virtual std::optional<HostedContexts> look_inside() const { return std::nullopt; }

  // Whether it runs contexts that are unwound at the deadline.
  virtual bool unwinds_at_deadline() const { return false; }
  // Whether it does, or one below it.
  bool may_unwind() const final;

  // Reports that `who`, this or what it runs, has not stopped, with all below this, and ends the process.
  [[noreturn]] void end_process(std::string_view who) const;

 protected:
  ~Node() override;

  // What a stop calls before it tells those below.
  virtual void begins_to_stop() {}
  // How long its stop may take, where that is not stop_deadline(): also when there is more time by the stop of one above.
  virtual std::optional<absl::Duration> own_stop_limit() const { return std::nullopt; }
  // Those whom a stop tells before this node, in that order. When it has told all of them, it asks who comes after them, until that is
  // nobody. Here: all children, newest first.
  virtual std::vector<Ref<Node>> first_to_tell(const std::optional<Instant>& deadline);
  virtual std::vector<Ref<Node>> next_to_tell() { return {}; }

 private:
  friend class StopWalk;

  bool has_ended() const noexcept override;
  bool has_running_child() const noexcept ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::string_view watched_name() const noexcept override { return name_; }
  // Marks as lost who is stuck below it, where somebody has chosen that. True when there was anybody, so that others may go on now.
  bool give_up() override;
  [[noreturn]] void report() override { end_process(name_); }

  struct Settled {
    std::optional<Instant> deadline;
    bool has_changed = false;  // it is another than before
    Ref<Node> watcher;         // who set the deadline, and counts
  };
  // Settles by when this node must have stopped, and watches over it unless somebody above does.
  Settled settle_deadline(const std::optional<Instant>& inherited, const Ref<Node>& watcher);
  // Has the watcher count it, if it is a thread and nobody counts it yet.
  void be_counted(Node& watcher);

  const Born born_;
  const std::uint64_t id_;
  const std::string name_;
  const Signal please_stop_;
  const Signal stopped_;
  Ending own_end_;

  mutable TinyMutex mutex_;
  Node* parent_ ABSL_GUARDED_BY(mutex_) = nullptr;  // a counted reference
  std::optional<Instant> deadline_ ABSL_GUARDED_BY(mutex_);
  std::optional<Instant> inherited_ ABSL_GUARDED_BY(mutex_);  // the earliest of those above
  Ref<Node> watcher_ ABSL_GUARDED_BY(mutex_);            // who counts this node, if that is another
  bool is_counted_ ABSL_GUARDED_BY(mutex_) = false;
  bool told_ ABSL_GUARDED_BY(mutex_) = false;
  bool all_told_ ABSL_GUARDED_BY(mutex_) = false;    // those below, too
  bool has_untold_ ABSL_GUARDED_BY(mutex_) = false;  // below it contexts have come since that nobody has told
  bool watched_ ABSL_GUARDED_BY(mutex_) = false;
  bool watch_is_over_ ABSL_GUARDED_BY(mutex_) = false;  // all of that stop have ended: who comes later has a deadline of his own
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;  // tells its children to stop, and those that are added
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;

  // Guarded by the parent's mutex.
  Node* older_ = nullptr;
  Node* newer_ = nullptr;
  // The newest first; a counted reference each.
  LinkedList<Node, &Node::newer_, &Node::older_> children_ ABSL_GUARDED_BY(mutex_);

  std::uint32_t depth_ = 0;  // so many are above it; fixed when it joins the tree
  std::atomic<std::uint64_t> counted_told_{0};
  std::atomic<std::uint64_t> counted_stopped_{0};

  LeftOver left_over_;

  ContextSlot context_;
};

// Where what the current context makes belongs: its own place, the next above for one that has ended, and runs functions of its end, or the
// main thread's for one that may have no children.
Ref<Node> parent_for_new();

// Logs a failure that nobody takes, and counts it for the exit code. `kind` is "thread" or its like.
void report_unclaimed_failure(std::string_view kind, const std::string& name, const std::exception_ptr& failure);
inline void report_unclaimed_failure(const EndRecord& end) { report_unclaimed_failure(to_string(end.kind), end.name, end.exception); }

}  // namespace mothreads::internal
