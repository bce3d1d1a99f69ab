#include "cooperative/internal/scheduler/cancellation.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "absl/cleanup/cleanup.h"
#include "cooperative/errors.h"

namespace cooperative::inline v0::internal {

using mothreads::Limit;
using mothreads::Why;
using mothreads::internal::Context;
using mothreads::internal::HostedWait;
using mothreads::internal::UnwindScope;
using mothreads::internal::Wait;
using mothreads::internal::WaitList;
using mothreads::internal::WaitNode;

namespace {

// A cancellation that meets noexcept.
constinit std::atomic<std::terminate_handler> handler_before{nullptr};
constinit std::atomic<bool> said{false};

// The C++ runtime calls it on the stack of the fiber that could not be unwound any further.
[[noreturn]] void terminate_handler() {
  if (!said.exchange(true, std::memory_order_relaxed)) {  // else the handler before calls this one, which was there before it
    try {
      if (const std::exception_ptr exception = std::current_exception()) std::rethrow_exception(exception);
    } catch (const FiberCancelled&) {
      const Context& context = Context::current();
      if (context.is_cancelled || context.unwind_scope == nullptr) {
        std::fprintf(stderr, "mothreads: fiber \"%s\" was cancelled while it waited inside noexcept code, which cannot be unwound: put a "
                             "cooperative::NoCancel around what waits there, or give its function a please_stop\n", context.name);
      } else {
        std::fprintf(stderr, "mothreads: the limit of a with_timeout() in \"%s\" came while it waited inside noexcept code, which cannot be "
                             "unwound: put a cooperative::NoCancel around what waits there, or give that wait the limit\n", context.name);
      }
      std::fflush(stderr);
    } catch (...) {  // not ours to tell of
    }
    // relaxed: a function is all there is to see.
    if (const std::terminate_handler before = handler_before.load(std::memory_order_relaxed)) before();
  }
  std::abort();
}

// Before each cancellation: the program may have put its own handler in the way since.
void name_the_fiber_at_terminate() noexcept {
  if (std::get_terminate() == terminate_handler) return;
  const std::terminate_handler before = std::set_terminate(terminate_handler);
  if (before != terminate_handler) handler_before.store(before, std::memory_order_relaxed);
}

}  // namespace

void prepare_unwinding(Context& context) noexcept {
  name_the_fiber_at_terminate();
  const int uncaught = std::uncaught_exceptions();
  for (UnwindScope* scope = context.unwind_scope; scope != nullptr; scope = scope->outer) {
    if (scope->has_come && scope->deferred == context.unwind_deferred && scope->uncaught == uncaught) scope->was_thrown = true;
  }
}

// By its limit, or to be unwound. A limit took nothing, so nothing is lost.
bool leave_interrupted(WaitList& list, WaitNode& node) noexcept {
  list.remove(node);
  Context& context = node.context();
  if ((context.outcome() != Why::stopped && context.outcome() != Why::timed_out) || !context.must_unwind()) return false;
  prepare_unwinding(context);
  return true;
}

Why wait_with_care(WaitList& list, WaitNode& node, HostedWait what, Limit limit) {
  Wait wait({what.verb, nullptr, nullptr, what.kept_name}, Wait::Spin::no, Context::Reach::host);
  node.arm(wait, Why::ready);
  list.push_back(node);
  absl::Cleanup leave = [&] { list.remove(node); };
  return wait.park(limit);
}

Why wait_with_care(WaitList& list, WaitNode& node, HostedWait what) { return wait_with_care(list, node, what, Limit()); }

}  // namespace cooperative::internal
