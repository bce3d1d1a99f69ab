#include "mothreads/internal/thread_node.h"

#include <cxxabi.h>

#include <stdexcept>
#include <system_error>

#include <fmt/core.h>

#include "absl/cleanup/cleanup.h"
#include "mothreads/clock.h"
#include "mothreads/internal/runtime.h"
#include "mothreads/internal/thread_context.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"
#include "mothreads/stopping.h"
#include "mothreads/until.h"

namespace mothreads {
namespace {

constinit std::atomic<int> unclaimed{0};

}  // namespace

int unclaimed_failures() { return unclaimed.load(std::memory_order_relaxed); }

}  // namespace mothreads

namespace mothreads::internal {
namespace {

// A thread that nobody joins cannot join itself: it leaves its OS thread here and joins the one that it finds. So never more
// than one ended thread is left over.
struct LeftOver {
  std::mutex mutex;
  std::optional<pthread_t> thread;
};

LeftOver& left_over() {
  static LeftOver& instance = *new LeftOver;
  return instance;
}

// What a new thread takes over from the one that makes it.
struct Inherited {
  Ref<ThreadNode> node;
  std::shared_ptr<const std::string> log_extras;
};

}  // namespace

int take_unclaimed_failures() { return unclaimed.exchange(0, std::memory_order_relaxed); }

void report_unclaimed_failure(const std::string& thread, const std::exception_ptr& failure) {
  unclaimed.fetch_add(1, std::memory_order_relaxed);
  log::error("Problem in thread \"{}\", which nobody joined: {}", thread, log::describe(failure));
}

void reap_last_released() {
  std::optional<pthread_t> last;
  {
    std::lock_guard lock(left_over().mutex);
    last.swap(left_over().thread);
  }
  if (last) pthread_join(*last, nullptr);
}

ThreadNode::~ThreadNode() = default;

void ThreadNode::start(Node& parent, std::size_t stack_size) {
  attach_to(parent);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  int error = stack_size == 0 ? 0 : pthread_attr_setstacksize(&attributes, stack_size);
  if (error == 0) {
    auto* inherited = new Inherited{Ref<ThreadNode>(*this), Context::current().log_extras};
    pthread_t os_thread{};
    {
      // The thread may end and be reaped at once: who reaps waits here until its OS handle is known.
      std::lock_guard lock(reap_mutex_);
      error = pthread_create(&os_thread, &attributes, entry, inherited);
      if (error == 0) os_thread_ = os_thread;
    }
    if (error != 0) delete inherited;
  }
  pthread_attr_destroy(&attributes);
  if (error == 0) return;
  mark_stopped();
  detach();
  throw std::system_error(error, std::generic_category(), fmt::format("cannot start thread \"{}\"", name()));
}

void* ThreadNode::entry(void* argument) {
  auto* inherited = static_cast<Inherited*>(argument);
  Ref<ThreadNode> node = std::move(inherited->node);
  ThreadContext& context = ThreadContext::acquire();
  context.clock = &node->clock();
  context.node = node.get();
  context.name = node->name().c_str();
  context.log_extras = std::move(inherited->log_extras);
  delete inherited;
  Context::set_current(&context);
  pthread_setname_np(pthread_self(), node->name().substr(0, 15).c_str());  // the kernel takes 15 bytes
  node->set_context(&context);
  // Also when pthread_exit() unwinds the thread.
  const absl::Cleanup leave = [&] {
    node->set_context(nullptr);
    // The last reference may be this one: what the function returned is destroyed here, and may still use the library.
    context.node = &main_node();
    context.name = "ended thread";
    node = {};
    Context::set_current(nullptr);
    ThreadContext::release(context);
  };
  node->run();
  return nullptr;
}

void ThreadNode::run() {
  try {
    call();
  } catch (abi::__forced_unwind&) {
    failure_ = std::make_exception_ptr(std::runtime_error(fmt::format(
        "thread \"{}\" was ended by pthread_exit() or pthread_cancel(): let its function return instead", name())));
    finish();
    throw;  // the C library insists
  } catch (...) {
    failure_ = std::current_exception();
  }
  finish();
}

void ThreadNode::finish() {
  drop_function();
  end_children();
  bool released = false;
  {
    std::lock_guard lock(reap_mutex_);
    has_ended_ = true;
    released = released_;
  }
  if (released) report_unclaimed_failure();
  mark_stopped();
  if (released) {
    leave_to_reaper();
    detach();
  }
}

std::exception_ptr ThreadNode::take_failure() { return std::exchange(failure_, nullptr); }

void ThreadNode::report_unclaimed_failure() {
  const std::exception_ptr failure = take_failure();
  if (!failure) return;
  if (const Ref<Node> responsible = parent(); responsible && responsible->child_failed(name(), failure)) return;
  internal::report_unclaimed_failure(name(), failure);
}

void ThreadNode::release() {
  bool ended = false;
  {
    std::lock_guard lock(reap_mutex_);
    released_ = true;
    ended = has_ended_;
  }
  if (!ended) return;
  static_cast<void>(wait_stopped(Until()));
  report_unclaimed_failure();
  reap();
  detach();
}

void ThreadNode::leave_to_reaper() {
  const std::optional<pthread_t> mine = take_os_thread();
  if (!mine) return;  // the parent was first
  std::optional<pthread_t> before;
  {
    std::lock_guard lock(left_over().mutex);
    before = std::exchange(left_over().thread, mine);
  }
  if (before) pthread_join(*before, nullptr);
}

void ThreadNode::reap() {
  // Not joined under the mutex: the thread itself takes it on its way out.
  const std::optional<pthread_t> mine = take_os_thread();
  if (!mine) return;
  // It has said that it stopped and is on its way through the kernel: sleeping for that costs more than looking.
  bool joined = false;
  Context::current().spin_until([&] { return joined = pthread_tryjoin_np(*mine, nullptr) == 0; }, 8);
  if (!joined) pthread_join(*mine, nullptr);
}

void ThreadNode::await_end() {
  stopped().wait();
  reap();
}

std::optional<pthread_t> ThreadNode::take_os_thread() {
  std::lock_guard lock(reap_mutex_);
  return std::exchange(os_thread_, std::nullopt);
}

Ended ThreadNode::wait_stopped(const Until& until) const {
  if (stopped()) return Why::ready;
  const Context& me = Context::current();
  if (me.node != nullptr && me.node->is_below(*this)) {
    throw Misuse(me.node == this ? fmt::format("thread \"{}\" waits for itself to stop: let another thread join it", name())
                                 : fmt::format("thread \"{}\" waits for \"{}\", which it runs under and which waits for it: let "
                                               "another thread join it",
                                               me.name, name()));
  }
  return stopped().wait(until);
}

}  // namespace mothreads::internal
