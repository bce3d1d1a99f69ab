#include "mothreads/thread.h"

#include <algorithm>
#include <cstdio>
#include <system_error>

#include <fmt/core.h>

#include "mothreads/internal/runtime.h"
#include "mothreads/internal/tree/lost.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/internal/wait/thread_context.h"
#include "mothreads/log.h"
#include "mothreads/when_stuck.h"

namespace mothreads::inline v0 {
namespace {

std::string list_failures(const std::vector<EndRecord>& ends, const std::vector<Member>& late) {
  const std::size_t count = ends.size() + late.size();
  std::string text = count == 1 ? "A thread failed" : fmt::format("{} threads failed", count);
  const char* separator = ": ";
  const auto add = [&](std::string_view name, std::string_view what) {
    text += fmt::format("{}\"{}\": {}", separator, name, what);
    separator = "; ";
  };
  for (const EndRecord& end : ends) add(end.name, log::describe(end.exception));
  for (const Member& member : late) add(member.name(), "has not ended in time");
  return text;
}

void write_thread_name(const void* node, char* buffer, std::size_t size) {
  std::snprintf(buffer, size, "%s", static_cast<const internal::ThreadNode*>(node)->name().c_str());
}

// The node of the calling context; warns about a thread that should have registered.
internal::Node& current_node() {
  internal::Context& context = internal::Context::current();
  if (context.node->takes_children() || context.care.must_not_block) return *context.node;
  if (internal::ThreadContext* const thread = internal::ThreadContext::of(context); thread != nullptr && thread->foreign().is_in_scope()) {
    return *context.node;
  }
  static thread_local bool warned = false;
  if (!std::exchange(warned, true)) {
    log::warning("thread \"{}\" is not known. Make a RegisterThread at its entry point, so that it has a name and a parent", context.name);
  }
  return *context.node;
}

}  // namespace

ThreadsFailed::ThreadsFailed(std::vector<EndRecord> ends, std::vector<Member> late)
    : std::runtime_error(list_failures(ends, late)), ends_(std::move(ends)), late_(std::move(late)) {}

Thread Thread::current() { return Thread(internal::Ref<internal::Node>(current_node()), internal::kAccess); }

std::optional<Thread> Thread::parent() const {
  internal::Ref<internal::Node> parent = node_->parent();
  if (!parent) return std::nullopt;
  return Thread(std::move(parent), internal::kAccess);
}

std::vector<Thread> Thread::children() const {
  std::vector<Thread> children;
  for (internal::Ref<internal::Node>& child : node_->children()) {
    if (!child->is_part_of_parent()) children.emplace_back(std::move(child), internal::kAccess);
  }
  std::reverse(children.begin(), children.end());
  return children;
}

std::vector<Member> lost_members() {
  std::vector<Member> members;
  for (internal::Ref<internal::TreeMember>& member : internal::lost_in_process()) members.emplace_back(std::move(member), internal::kAccess);
  return members;
}

namespace internal {

Signal please_stop_for(const ThreadOptions& options) {
  if (options.name.empty()) throw Misuse("a thread needs a name: give Thread::run one that says what the thread does");
  return options.please_stop ? *options.please_stop : Signal("please_stop for " + options.name);
}

void start_thread(ThreadNode& thread, const ThreadOptions& options) {
  if (options.stack_size != 0 && options.stack_size < kLeastThreadStack) {
    throw std::system_error(std::make_error_code(std::errc::invalid_argument),
                            fmt::format("cannot start thread \"{}\" with a stack of {} bytes: the least is {}, kLeastThreadStack",
                                        thread.name(), options.stack_size, kLeastThreadStack));
  }
  if (options.parent.is_empty()) {
    static_cast<void>(current_node());
    thread.start(*parent_for_new(), options.stack_size);
  } else {
    const Ref<Node> parent = options.parent.get(kAccess).home_of_threads();
    thread.start(parent->takes_children() ? *parent : main_node(), options.stack_size);
  }
  Context::watch(Step::comes, "starts Thread", &thread, write_thread_name);
  Context::watch(Step::after);
}

Ended wait_to_join(ThreadNode& thread, const Until& until) {
  try {
    return thread.wait_stopped(until);
  } catch (const WasLost&) {
    thread.take_loss();  // it is the caller's now
    throw;
  }
}

void throw_timeout(const ThreadNode& thread, Why why) {
  throw_ended_early(why, thread.name(), fmt::format("Thread {} timeout: the join {} before the thread had stopped", thread.name(),
                                                    why == Why::stopped ? "was stopped" : "timed out"));
}

void stop_and_wait(ThreadNode& thread) noexcept {
  const NoUnwind whole;
  if (thread.is_in_its_end()) return thread.release();
  if (!thread.stopped()) {
    thread.request_stop();
    try {
      static_cast<void>(thread.wait_stopped(Until()));
    } catch (const WasLost&) {
      thread.release();  // there is nothing to wait for
      return thread.detach();
    } catch (const Misuse& misuse) {
      fatal_misuse(fmt::format("the handle of a thread was destroyed where its thread cannot be waited for: {}; or release() the handle",
                               misuse.what()));
    }
  }
  thread.reap();
  thread.report_unclaimed_failure();  // to the parent, which detach() forgets
  thread.detach();
}

}  // namespace internal
}  // namespace mothreads
