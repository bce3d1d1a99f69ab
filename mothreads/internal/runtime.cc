#include "mothreads/internal/runtime.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "mothreads/clock.h"
#include "mothreads/internal/aliens.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/base/sudden_end.h"
#include "mothreads/internal/drain.h"
#include "mothreads/internal/log_thread.h"
#include "mothreads/internal/signal_thread.h"
#include "mothreads/internal/steady_timers.h"
#include "mothreads/internal/thread_node.h"
#include "mothreads/internal/tills.h"
#include "mothreads/internal/wait/simulation.h"
#include "mothreads/internal/wait/thread_context.h"
#include "mothreads/log.h"
#include "mothreads/stopping.h"

namespace mothreads::inline v0::internal {
namespace {

MainNode& root_node();

constinit std::atomic<MainNode*> in_force{nullptr};
constinit std::atomic<MainNode*> root{nullptr};

bool on_os_main_thread() { return syscall(SYS_gettid) == getpid(); }

// At exit(): what main() left running is stopped in order, and a failure that nobody took shows in the exit code.
void end_process(int status, void*) {
  MainNode& the_root = root_node();
  const Context& context = Context::current();
  MainNode& main = main_node();  // another than the root when MainThread::run's function called exit()
  if (context.node != &main || !context.is_root) {
    // exit() from a thread of ours, or a fiber: waiting for the tree would be waiting for ourselves.
    log::critical("exit() was called by \"{}\", so the others cannot be stopped in order: return from main instead",
                  context.name);
    end_log_thread();
    std::fflush(nullptr);
    end_suddenly(status);
  }
  if (!main.children().empty()) request_main_stop();
  main.end_children();
  main.mark_stopped();
  if (&main != &the_root) {
    main.detach();
    the_root.end_children();
    the_root.mark_stopped();
  }
  end_signal_thread();
  end_timers_and_log();
  if (status == 0 && unclaimed_failures() > 0) {
    std::fflush(nullptr);
    _exit(kExitUnclaimedFailure);
  }
}

MainNode& make_root() {
  auto& node = *new MainNode("main", Signal("please_stop for main"), Clock::steady());
  // release: pairs with the acquire in root_node().
  root.store(&node, std::memory_order_release);
  return node;
}

void go_on_in_child() noexcept;
constinit ForkPart part{.rank = ForkPart::Rank::tree, .in_child = go_on_in_child};
constinit TinyMutex making;  // not the guard of a static object: a child that was born while another thread had it could not free it

// Before there is anything that a child could miss.
void take_part() {
  static const bool takes_part = (take_part_in_forks(part), true);
  static_cast<void>(takes_part);
}
[[maybe_unused]] const bool takes_part_early = (take_part(), true);  // another's static object may have come first

MainNode& root_node() {
  // acquire: pairs with the release in make_root().
  if (MainNode* const made = root.load(std::memory_order_acquire)) return *made;
  take_part();
  const TinyLock lock(making);
  if (MainNode* const made = root.load(std::memory_order_relaxed)) return *made;
  on_exit(end_process, nullptr);
  leave_log_to_tree();
  return make_root();
}

// The root of a tree of its own, with nobody below it yet, is whoever called fork().
void go_on_in_child() noexcept {
  new (&making) TinyMutex;  // who slept on it is not here: nobody is to be woken
  Context* const here = Context::current_or_null();
  const bool had_root = root.load(std::memory_order_relaxed) != nullptr;
  // Without one the only threads with a place are those that the library did not start. The first use of the tree makes the root of the others.
  if (!had_root && here == nullptr) return;
  in_force.store(nullptr, std::memory_order_relaxed);
  MainNode& node = had_root ? make_root() : root_node();
  static_cast<void>(take_unclaimed_failures());  // they count in the parent
  set_tills_ended(false);
  forget_alien();
  if (here == nullptr || here->simulation() != nullptr) return;
  here->node = &node;
  here->set_name(node.name().c_str());
  node.context().set(here);
}

}  // namespace

MainNode::MainNode(std::string_view name, Signal please_stop, Clock& clock)
    : Node(name, std::move(please_stop), clock), draining_(SignalState::make_owned("draining", "call MainThread::drain()"), kAccess) {}

MainNode::MainNode(std::string_view name, Signal please_stop, Clock& clock, absl::Duration drain)
    : Node(name, std::move(please_stop), clock),
      draining_(SignalState::make_owned("draining", "call MainThread::drain()"), kAccess),
      own_drain_(std::make_unique<Drain>()) {
  own_drain_->set_time(drain);
}

MainNode::~MainNode() = default;

Drain& MainNode::drain() const noexcept { return own_drain_ != nullptr ? *own_drain_ : Drain::instance(); }

bool MainNode::child_failed(const EndRecord& end) {
  constexpr std::size_t kMaxKept = 100;  // all are logged; these are for who asks
  TinyLock lock(failures_mutex_);
  if (failures_.size() < kMaxKept) failures_.push_back(end);
  return false;
}

void MainNode::begins_to_stop() {
  drain().stop_begins(*this);
  draining_.state(kAccess).go();
}

std::vector<EndRecord> MainNode::take_failures() {
  TinyLock lock(failures_mutex_);
  return std::exchange(failures_, {});
}

MainNode& main_node() {
  if (const Context* const here = Context::current_or_null()) {
    if (Simulation* const simulation = here->simulation()) return simulation->main();
  }
  MainNode* node = in_force.load(std::memory_order_acquire);
  return node != nullptr ? *node : root_node();
}

Ref<Node> parent_for_new() {
  Node& node = Context::current().node->parent_of_new();
  return node.is_home_for_new() ? Ref<Node>(node) : node.next_above();
}

Ref<Node> Node::next_above() const {
  for (Ref<Node> node = parent(); node; node = node->parent()) {
    if (node->takes_children() && !node->takes_no_more()) return node;
  }
  return Ref<Node>(main_node());
}

void set_main_node(MainNode* node) {
  root_node();
  in_force.store(node, std::memory_order_release);
}

void request_main_stop() {
  if (main_node().request_stop()) send_tills_early();
}

void end_timers_and_log() {
  set_tills_ended(true);
  steady_timers().end_thread();
  stop_watch_timers().end_thread();
  end_log_thread();
}

// --- threads that the library did not make ------------------------------------------------------------------------------

namespace {

// Stands for a thread that called the library without saying who it is, or for one of the library's own. It is in no tree:
// nobody can tell the thread to stop, so nobody waits for it, and what it starts belongs to the main thread.
class AlienNode final : public Node {
 public:
  AlienNode(std::string_view name, bool is_of_library)
      : Node(name, Signal("please_stop for " + std::string(name)), Clock::steady()), is_of_library_(is_of_library) {}
  MemberKind kind() const override { return is_of_library_ ? MemberKind::library_thread : MemberKind::unregistered_thread; }
  bool takes_children() const override { return false; }
  Node& parent_of_new() override { return main_node(); }

 private:
  const bool is_of_library_;
};

void adopted(ThreadContext& context) {
  if (on_os_main_thread()) {
    context.node = &root_node();
    context.set_name(root_node().name().c_str());
  } else {
    context.node = new AlienNode(context.name, context.care.must_not_block);
  }
  context.node->context().set(&context);
}

void ended(ThreadContext& context) {
  const auto node = Ref<Node>::adopt(context.node);
  node->context().set(nullptr);
  node->mark_stopped();
}

}  // namespace

constinit const AlienHooks tree_hooks{.adopted = adopted, .ended = ended};

}  // namespace mothreads::internal
