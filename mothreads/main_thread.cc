#include "mothreads/main_thread.h"

#include <cxxabi.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "mothreads/clock.h"
#include "mothreads/internal/base/made_once.h"
#include "mothreads/internal/drain.h"
#include "mothreads/internal/log_thread.h"
#include "mothreads/internal/runtime.h"
#include "mothreads/internal/signal_thread.h"
#include "mothreads/internal/tills.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"

namespace mothreads::inline v0 {
namespace {

bool is_in_simulation() {
  const internal::Context* const here = internal::Context::current_or_null();
  return here != nullptr && here->simulation() != nullptr;
}

// The function has called fork(), and has ended in the child: what it started there ends as in any run.
int end_run_in_child(int code) {
  internal::main_node().end_children();
  internal::end_signal_thread();
  internal::end_timers_and_log();
  return code == 0 && unclaimed_failures() > 0 ? kExitUnclaimedFailure : code;
}

}  // namespace

// A forced unwind has no exception object: the reference to it is null, which UBSan must not mind.
__attribute__((no_sanitize("null"))) int MainThread::run_function(absl::AnyInvocable<int(Signal)> function, const MainOptions& options) {
  internal::Context& context = internal::Context::current();
  internal::MainNode& root = internal::main_node();
  if (context.node != &root || root.parent()) {
    throw Misuse("MainThread::run was called on another thread than the program's first, or inside another run: call it once, "
                 "from main()");
  }
  if (options.take_signals) internal::begin_signal_thread();  // may throw: nothing else has been done
  set_stop_deadline(options.stop_deadline);
  internal::Drain::instance().set_time(options.drain);
  const int failures_before = unclaimed_failures();
  internal::set_tills_ended(false);
  internal::begin_log();

  // Kept for ever: another thread may be asking it to stop while this ends.
  using Mains = std::vector<internal::Ref<internal::MainNode>>;
  static constinit internal::MadeOnce<Mains> made;
  Mains& mains = made.get([] { return new Mains; });
  mains.push_back(internal::Ref<internal::MainNode>::adopt(
      new internal::MainNode("main", Signal("please_stop for main"), Clock::current())));
  const auto node = mains.back();
  node->attach_to(root);
  node->context().set(&context);
  root.context().set(nullptr);
  context.node = node.get();
  internal::set_main_node(node.get());

  int code = EXIT_FAILURE;
  try {
    code = function(node->please_stop());
  } catch (abi::__forced_unwind&) {
    // Nothing would end the process any more: exit() does what is left to do.
    log::error("the main thread's function was ended by pthread_exit() or pthread_cancel(): let it return");
    std::exit(EXIT_FAILURE);
  } catch (...) {
    log::error("the main thread failed: {}", log::describe(std::current_exception()));
  }
  function = nullptr;

  internal::request_main_stop();
  if (node->is_left_behind()) return end_run_in_child(code);
  node->end_children();
  internal::end_signal_thread();
  node->context().set(nullptr);
  node->mark_stopped();
  root.context().set(&context);
  context.node = &root;
  internal::set_main_node(nullptr);
  internal::Drain::instance().set_time(absl::ZeroDuration());
  node->detach();
  internal::end_timers_and_log();
  return code == 0 && unclaimed_failures() > failures_before ? kExitUnclaimedFailure : code;
}

void MainThread::stop() { internal::request_main_stop(); }
void MainThread::drain() { internal::Drain::here().begin(); }
Signal MainThread::draining() { return internal::main_node().draining(); }
Signal MainThread::please_stop() { return internal::main_node().please_stop(); }
void MainThread::take_signals() {
  if (is_in_simulation()) return;  // none come there
  if (!internal::main_node().parent()) internal::begin_signal_thread();  // that of run() has the root above it
}
int MainThread::stop_signal() { return internal::stop_signal(); }
Thread MainThread::thread() { return Thread(internal::Ref<internal::Node>(internal::main_node()), internal::kAccess); }

void wait_for_shutdown_signal(const ShutdownOptions& options) {
  internal::MainNode& main = internal::main_node();
  if (const internal::Context& context = internal::Context::current(); context.node != &main || !context.is_root) {
    throw Misuse("wait_for_shutdown_signal was called on another thread than the main thread, or in a fiber, which it would stop: call "
                 "MainThread::stop() there to end the program, or wait for MainThread::please_stop()");
  }
  internal::begin_signal_thread();
  if (options.allow_exit) internal::watch_stdin_for_exit();
  ThenId theirs;
  if (options.please_stop) {
    theirs = options.please_stop->then([] { internal::request_main_stop(); });
    main.please_stop().then([signal = *options.please_stop] {
      if (!signal.state(internal::kAccess).is_owned()) signal.go();  // the end of a thread, say, is for nobody else to tell
    });
  }
  if (options.wait_forever) {
    main.please_stop().wait();
  } else {
    std::vector<Signal> stopped;
    for (const auto& child : main.children()) stopped.push_back(child->stopped());
    (main.please_stop() | Signal::all_of(stopped)).wait();
  }
  log::info("Stopping...");
  internal::request_main_stop();
  if (options.please_stop) options.please_stop->remove_then(theirs);
  main.stop_children();
  const std::vector<EndRecord> failed = main.take_failures();
  if (!failed.empty()) throw ThreadsFailed(failed);
}

}  // namespace mothreads
