#include "mothreads/internal/runtime.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <system_error>

#include "mothreads/clock.h"
#include "mothreads/internal/log_thread.h"
#include "mothreads/internal/signal_thread.h"
#include "mothreads/internal/steady_timers.h"
#include "mothreads/internal/thread_context.h"
#include "mothreads/internal/thread_node.h"
#include "mothreads/internal/tills.h"
#include "mothreads/log.h"
#include "mothreads/stopping.h"

namespace mothreads::internal {
namespace {

constinit std::atomic<MainNode*> in_force{nullptr};
pid_t owner = 0;

bool on_os_main_thread() { return syscall(SYS_gettid) == getpid(); }

// At exit(): what main() left running is stopped in order, and a failure that nobody took shows in the exit code.
void end_process(int status, void* root_pointer) {
  auto& root = *static_cast<MainNode*>(root_pointer);
  if (getpid() != owner) return;  // a forked child has none of the threads
  const Context& context = Context::current();
  MainNode& main = main_node();  // another than the root when MainThread::run's function called exit()
  if (context.node != &main) {
    // exit() from a thread of ours: waiting for the tree would be waiting for ourselves.
    log::critical("exit() was called by \"{}\", so the other threads cannot be stopped in order: return from main instead",
                  context.name);
    end_log_thread();
    std::fflush(nullptr);
    _exit(status);
  }
  if (!main.children().empty()) request_main_stop();
  main.end_children();
  main.mark_stopped();
  if (&main != &root) {
    main.detach();
    root.end_children();
    root.mark_stopped();
  }
  end_signal_thread();
  end_timers_and_log();
  if (status == 0 && unclaimed_failures() > 0) {
    std::fflush(nullptr);
    _exit(kExitUnclaimedFailure);
  }
}

MainNode& root_node() {
  static MainNode& root = []() -> MainNode& {
    auto& node = *new MainNode("main", Signal("please_stop for main"), Clock::steady());
    owner = getpid();
    on_exit(end_process, &node);
    return node;
  }();
  return root;
}

}  // namespace

bool MainNode::child_failed(const std::string& name, const std::exception_ptr& failure) {
  constexpr std::size_t kMaxKept = 100;  // all are logged; these are for who asks
  TinyLock lock(failures_mutex_);
  if (failures_.size() < kMaxKept) failures_.emplace_back(name, failure);
  return false;
}

std::vector<std::pair<std::string, std::exception_ptr>> MainNode::take_failures() {
  TinyLock lock(failures_mutex_);
  return std::exchange(failures_, {});
}

MainNode& main_node() {
  MainNode* node = in_force.load(std::memory_order_acquire);
  return node != nullptr ? *node : root_node();
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

// Stands for a thread that called the library without saying who it is. It is in no tree: nobody can tell the thread to stop,
// so nobody waits for it, and what it starts belongs to the main thread.
class AlienNode final : public Node {
 public:
  using Node::Node;
  std::string_view kind() const override { return "unregistered thread"; }
  bool takes_children() const override { return false; }
};

struct Alien {
  ThreadContext& context;
  Ref<AlienNode> node;
};

// Gives an alien's context back when its thread ends: by a key of the C library, whose functions come after the destructors of
// thread_local objects, so that those may still use the library.
pthread_key_t alien_key() {
  static const pthread_key_t key = [] {
    pthread_key_t made{};
    const int error = pthread_key_create(&made, [](void* pointer) {
      auto* alien = static_cast<Alien*>(pointer);
      alien->node->set_context(nullptr);
      alien->node->mark_stopped();
      if (Context::current_or_null() == &alien->context) Context::set_current(nullptr);
      ThreadContext::release(alien->context);
      delete alien;
    });
    if (error != 0) throw std::system_error(error, std::generic_category(), "cannot make the key for threads' ends");
    return made;
  }();
  return key;
}

}  // namespace

Context& Context::adopt_alien() {
  ThreadContext& context = ThreadContext::acquire();
  set_current(&context);
  if (on_os_main_thread()) {
    context.node = &root_node();
    context.name = root_node().name().c_str();
    root_node().set_context(&context);
    return context;  // as long as the process
  }
  char os_name[16] = "";
  pthread_getname_np(pthread_self(), os_name, sizeof os_name);
  // A thread that nobody named goes by the program's name.
  const std::string_view of_program = std::string_view(program_invocation_short_name).substr(0, 15);
  const bool is_named = os_name[0] != '\0' && os_name != of_program;
  const std::string name = is_named ? std::string(os_name) : "Unknown Thread " + std::to_string(syscall(SYS_gettid));
  auto* alien = new Alien{context, Ref<AlienNode>::adopt(new AlienNode(name, Signal("please_stop for " + name), Clock::steady()))};
  pthread_setspecific(alien_key(), alien);
  context.node = alien->node.get();
  context.name = alien->node->name().c_str();
  alien->node->set_context(&context);
  return context;
}

}  // namespace mothreads::internal
