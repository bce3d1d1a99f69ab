#include "mothreads/internal/thread_node.h"

#include <cxxabi.h>

#include <memory>
#include <stdexcept>
#include <system_error>

#include <fmt/core.h>

#include "absl/cleanup/cleanup.h"

#include "mothreads/clock.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/base/printable.h"
#include "mothreads/internal/runtime.h"
#include "mothreads/internal/tree/lost.h"
#include "mothreads/internal/wait/simulation.h"
#include "mothreads/internal/wait/thread_context.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"
#include "mothreads/stopping.h"
#include "mothreads/until.h"

namespace mothreads::inline v0 {
namespace {

constinit std::atomic<int> unclaimed{0};

}  // namespace

int unclaimed_failures() { return unclaimed.load(std::memory_order_relaxed); }

}  // namespace mothreads

namespace mothreads::inline v0::internal {
namespace {

// What a new thread takes over from the one that makes it.
struct Inherited {
  Ref<ThreadNode> node;
  std::shared_ptr<const LogExtras> log_extras;
};

}  // namespace

int take_unclaimed_failures() { return unclaimed.exchange(0, std::memory_order_relaxed); }

void report_unclaimed_failure(std::string_view kind, const std::string& name, const std::exception_ptr& failure) {
  unclaimed.fetch_add(1, std::memory_order_relaxed);
  log::error("Problem in {} \"{}\", which nobody joined: {}", kind, name, log::describe(failure));
}

ThreadNode::~ThreadNode() = default;

void ThreadNode::start(Node& parent, std::size_t stack_size) {
  simulation_ = Context::current().simulation();
  if (simulation_ != nullptr) simulation_->check_parent(parent, name());
  auto inherited = std::make_unique<Inherited>(Inherited{Ref<ThreadNode>(*this), Context::current().log_extras});
  attach_to(parent);
  absl::Cleanup leave = [this] {
    mark_stopped();
    detach();
  };
  try {
    // The thread may end and be reaped at once: who reaps waits here until its OS handle is known.
    std::lock_guard lock(reap_mutex_);
    if (simulation_ != nullptr) {
      simulation_->start_thread(name(), entry, inherited.get(), stack_size);
    } else {
      os_thread_ = OsThread(entry, inherited.get(), stack_size);
    }
  } catch (const std::system_error& refused) {
    throw std::system_error(refused.code(), fmt::format("cannot start thread \"{}\"", name()));
  }
  static_cast<void>(inherited.release());  // the thread deletes it
  std::move(leave).Cancel();
}

// A forced unwind has no exception object: the reference to it is null, which UBSan must not mind.
__attribute__((no_sanitize("null"))) void* ThreadNode::entry(void* argument) {
  auto* inherited = static_cast<Inherited*>(argument);
  Ref<ThreadNode> node = std::move(inherited->node);
  ThreadContext& context = ThreadContext::acquire();
  context.clock = &node->clock();
  context.node = node.get();
  context.set_name(node->name().c_str());
  context.log_extras = std::move(inherited->log_extras);
  delete inherited;
  Context::set_current(&context);
  if (node->simulation_ != nullptr) {
    context.set_simulated();
    node->simulation_->begin_thread(context);
  } else {
    pthread_setname_np(pthread_self(), kernel_name(node->name()).data());
  }
  node->context().set(&context);
  try {
    node->call();
  } catch (abi::__forced_unwind&) {
    if (node->is_left_behind()) throw;  // the child's only thread: the C library ends the process
    // pthread_exit or pthread_cancel: the C library insists on going on, after the thread has ended as any other.
    node->failure_ = std::make_exception_ptr(std::runtime_error(
        fmt::format("thread \"{}\" was ended by pthread_exit() or pthread_cancel(): let its function return", node->name())));
    finish(std::move(node), context);
    throw;
  } catch (...) {
    node->failure_ = std::current_exception();
  }
  if (node->is_left_behind()) node->end_in_child();
  finish(std::move(node), context);
  return nullptr;
}

// Its function has called fork(), and has ended in the child.
void ThreadNode::end_in_child() {
  if (failure_) internal::report_unclaimed_failure(to_string(kind()), name(), failure_);
  end_forked_process();
}

void ThreadNode::finish(Ref<ThreadNode> node, ThreadContext& context) {
  node->finish_function();
  node->context().set(nullptr);
  // The last reference may be this one: what the function returned is destroyed here, and may still use the library.
  context.node = &main_node();
  context.name = "ended thread";  // to others it has the name that it had
  node = {};
  Context::set_current(nullptr);
  ThreadContext::release(context);
}

void ThreadNode::finish_function() {
  phase_ = Phase::drops_function;
  drop_function();
  if (is_left_behind()) end_forked_process();  // what the function captured has called fork() as it was destroyed
  phase_ = Phase::ends_children;
  end_children();
  phase_ = Phase::leaves;
  publish_end(failure_ ? How::threw : How::returned, failure_);
  bool released = false;
  {
    std::lock_guard lock(reap_mutex_);
    has_ended_ = true;
    released = released_;
  }
  if (released) {
    drop_result();  // nobody will take it, and it may refer to what lives only until `stopped`
    report_unclaimed_failure();
  }
  mark_stopped();
  if (is_left_behind()) end_forked_process();  // likewise its result, or a then() function of `stopped`
  if (released || leaves_by_itself_) leave_to_parent();
}

bool ThreadNode::is_in_its_end() const {
  const Context& me = Context::current();
  return me.node == this && me.is_root && phase_ != Phase::runs;
}

// What it makes while its children end is told to stop, as they are.
bool ThreadNode::is_home_for_new() const {
  return (phase_ == Phase::runs || phase_ == Phase::ends_children) && Node::is_home_for_new();
}

void ThreadNode::step_out(const Node& group) {
  if (!is_in_its_end() || parent().get() != &group) return;
  bool released = false;
  {
    std::lock_guard lock(reap_mutex_);
    released = released_;
  }
  if (released) report_unclaimed_failure();  // to the group
  const Ref<ThreadNode> self(*this);
  const Ref<Node> above = group.next_above();
  detach();
  attach_to(*above);
}

void ThreadNode::leave() {
  if (is_in_its_end()) return release();
  reap();
  detach();
}

std::exception_ptr ThreadNode::take_failure() { return std::exchange(failure_, nullptr); }

void ThreadNode::report_unclaimed_failure() {
  if (is_left_behind()) return;
  if (!take_failure()) return;
  report_failure(*end());
}

void ThreadNode::report_failure(const EndRecord& end) {
  if (const Ref<Node> responsible = parent(); responsible && responsible->child_failed(end)) return;
  internal::report_unclaimed_failure(end);
}

// On the thread that keeps the deadlines. Whoever has the handle learns of it there.
void ThreadNode::is_marked_lost(const EndRecord& loss) {
  {
    std::lock_guard lock(reap_mutex_);
    if (!released_) {
      loss_ = loss;
      return;
    }
  }
  report_failure(loss);
}

void ThreadNode::take_loss() {
  std::lock_guard lock(reap_mutex_);
  loss_.reset();
}

void ThreadNode::release() {
  if (is_left_behind()) return;
  const bool is_in_end = is_in_its_end();
  bool ended = false;
  std::optional<EndRecord> loss;
  {
    std::lock_guard lock(reap_mutex_);
    released_ = true;
    ended = has_ended_;
    loss.swap(loss_);
  }
  if (!ended) {
    if (loss) report_failure(*loss);
    return;
  }
  if (is_in_end) {
    leaves_by_itself_ = true;
    return report_unclaimed_failure();
  }
  static_cast<void>(wait_stopped(Until()));
  report_unclaimed_failure();
  reap();
  detach();
}

void ThreadNode::leave_to_parent() {
  OsThread before;
  // A lost thread's parent may be gone.
  const Ref<Node> parent = ending().was_noted_lost() ? Ref<Node>(main_node()) : this->parent();
  {
    // In one step, so that the parent finds the OS thread in one place or the other.
    std::lock_guard lock(reap_mutex_);
    if (!parent || (!os_thread_ && simulation_ == nullptr)) return;  // the parent was first
    before = parent->left_over().exchange(std::move(os_thread_));
  }
  before.join();
  detach();
}

void ThreadNode::reap() {
  if (is_left_behind()) return;
  // Not joined under the mutex: the thread itself takes it on its way out.
  OsThread mine = take_os_thread();
  // A then() function of its own `stopped` may join it: then somebody else has to.
  if (mine.is_current()) mine = main_node().left_over().exchange(std::move(mine));
  mine.join();
}

void ThreadNode::await_end() {
  static_cast<void>(wait_stopped_or_lost(*this, Until()));
  if (stopped()) reap();
}

OsThread ThreadNode::take_os_thread() {
  std::lock_guard lock(reap_mutex_);
  return std::move(os_thread_);
}

Ended ThreadNode::wait_stopped(const Until& until) const {
  if (is_left_behind()) {
    throw Misuse(fmt::format("thread \"{}\" runs in the process that made this one by fork(), which alone can join it", name()));
  }
  if (stopped() || is_in_its_end()) return Why::ready;
  const Context& me = Context::current();
  if (me.node != nullptr && me.node->is_below(*this)) {
    throw Misuse(me.node == this ? fmt::format("thread \"{}\" waits for itself to stop: let another thread join it", name())
                                 : fmt::format("thread \"{}\" waits for \"{}\", which it runs under and which waits for it: let "
                                               "another thread join it",
                                               me.name, name()));
  }
  if (!ending().may_be_lost()) return stopped().wait(until);
  const Limit limit(until);
  if (const Ended ended = wait_stopped_or_lost(*this, limit); !ended || stopped()) return ended;
  if (const std::optional<EndRecord> record = end(); record->how == How::lost) std::rethrow_exception(record->exception);
  return stopped().wait(limit);  // it is just about to end after all
}

}  // namespace mothreads::internal
