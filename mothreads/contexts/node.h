#pragma once

// A place in the shutdown tree: whatever runs and can be told to stop, under the one who is responsible for it.
//
//     running -> (its function has ended: its children are told, newest first, and waited for) -> ended -> stopped
//
// A node that was told to stop, or waits for its children, tells a child that is added later at once. A node that has ended
// takes no more children.

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
#include "mothreads/contexts/os_thread.h"
#include "mothreads/contexts/timer_queue.h"
#include "mothreads/contexts/tiny_mutex.h"
#include "mothreads/instant.h"
#include "mothreads/signal.h"

namespace mothreads {
class Clock;
}

namespace mothreads::internal {

class Context;
class Node;

// A counted reference to a node.
template <typename T>
class Ref {
 public:
  Ref() = default;
  explicit Ref(T& node) : node_(&node) { node_->ref(); }
  Ref(const Ref& other) : node_(other.node_) {
    if (node_ != nullptr) node_->ref();
  }
  Ref(Ref&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
  template <typename U>
  explicit(false) Ref(Ref<U> other) noexcept : node_(other.take()) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(node_, other.node_);
    return *this;
  }
  ~Ref() {
    if (node_ != nullptr) node_->unref();
  }

  // Takes over the reference that a new node is born with.
  static Ref adopt(T* node) {
    Ref ref;
    ref.node_ = node;
    return ref;
  }

  explicit operator bool() const { return node_ != nullptr; }
  T& operator*() const { return *node_; }
  T* operator->() const { return node_; }
  T* get() const { return node_; }
  T* take() { return std::exchange(node_, nullptr); }

 private:
  T* node_ = nullptr;
};

class Node : private TimerNode {
 public:
  Node(std::string_view name, Signal please_stop, Clock& clock);
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  void ref() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void unref() noexcept {
    // acq_rel: the last owner's destruction comes after what the others did.
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  const std::string& name() const { return name_; }
  const Signal& please_stop() const { return please_stop_; }
  const Signal& stopped() const { return stopped_; }
  Clock& clock() const { return clock_; }
  std::uint64_t id() const { return id_; }

  // Joins the tree. Throws Misuse when the parent has ended. A parent that was told to stop tells it now.
  void attach_to(Node& parent);
  // Leaves it; nothing when it has left.
  void detach();
  Ref<Node> parent() const;
  std::vector<Ref<Node>> children() const;  // newest first
  bool is_below(const Node& ancestor) const;  // or the same

  // Tells this node and all below to stop; never blocks. The first request sets the deadline, an inherited one can only make it
  // earlier. True for the first.
  bool request_stop(const std::optional<Instant>& inherited = std::nullopt);

  // Tells the children and waits until there are none. For the node's own context.
  void stop_children();
  // The same, and takes no more: the node's function has ended.
  void end_children();

  // For the node's own context, last: lets `stopped` go.
  void mark_stopped();

  bool was_told_to_stop() const;

  // Waits until it has stopped and nothing of it runs any more; for its parent.
  virtual void await_end();

  // Joins the OS thread that a released child left here last; see ThreadNode::leave_to_parent().
  void reap_left_over();
  // Leaves an ended OS thread to this node and gives the one that was left before.
  OsThread exchange_left_over(OsThread ended);

  // A child that nobody joins failed. True when this node answers for the failure; else it is logged.
  virtual bool child_failed(const std::string& name, const std::exception_ptr& failure) {
    static_cast<void>(name), static_cast<void>(failure);
    return false;
  }

  // The context that runs it now, for reports: valid during the call of `f`. Nothing when there is none.
  template <typename F>
  void with_context(F&& f) const {
    TinyLock lock(context_mutex_);
    if (context_ != nullptr) f(*context_);
  }
  void set_context(Context* context) {
    TinyLock lock(context_mutex_);
    context_ = context;
  }

  virtual std::string_view kind() const = 0;

  // Whether it belongs to the thread above it, as its scheduler does, and is no child that the thread made.
  virtual bool is_part_of_parent() const { return false; }

  // Whether it may have children: a thread that the library does not know may not.
  virtual bool takes_children() const { return true; }

 protected:
  virtual ~Node();

  // Passes a stop request on to the children, newest first.
  virtual void tell_children(const std::vector<Ref<Node>>& newest_first, const std::optional<Instant>& deadline);

 private:
  static bool take_watch(TimerNode& node);
  static void fire_watch(TimerNode& node);
  static constexpr TimerOps kWatch{take_watch, fire_watch};

  // Settles by when this node must have stopped, and watches over it unless somebody above does.
  std::optional<Instant> settle_deadline(const std::optional<Instant>& inherited);
  void cancel_watch();

  std::atomic<std::uint32_t> references_{1};
  const std::uint64_t id_;
  const std::string name_;
  const Signal please_stop_;
  const Signal stopped_;
  Clock& clock_;

  mutable TinyMutex mutex_;
  Node* parent_ ABSL_GUARDED_BY(mutex_) = nullptr;  // a counted reference
  std::optional<Instant> deadline_ ABSL_GUARDED_BY(mutex_);
  bool told_ ABSL_GUARDED_BY(mutex_) = false;
  bool watched_ ABSL_GUARDED_BY(mutex_) = false;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;  // tells its children to stop, and those that are added
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;

  // Guarded by the parent's mutex: its children, a counted reference each, are a circular list through these.
  Node* older_ = nullptr;
  Node* newer_ = nullptr;
  Node* newest_child_ ABSL_GUARDED_BY(mutex_) = nullptr;

  TinyMutex left_over_mutex_;
  OsThread left_over_ ABSL_GUARDED_BY(left_over_mutex_);

  mutable TinyMutex context_mutex_;
  Context* context_ ABSL_GUARDED_BY(context_mutex_) = nullptr;
};

// Where what the current context makes belongs: its own place, or the main thread's for one that may have no children.
Node& parent_for_new();

// Logs a failure that nobody takes, and counts it for the exit code. `kind` is "thread" or its like.
void report_unclaimed_failure(std::string_view kind, const std::string& name, const std::exception_ptr& failure);

}  // namespace mothreads::internal
