#include "mothreads/internal/stop_report.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <system_error>
#include <thread>

#include <fmt/core.h>

#include "mothreads/contexts/sudden_end.h"
#include "mothreads/contexts/thread_context.h"
#include "mothreads/internal/log_thread.h"
#include "mothreads/internal/stack_trace.h"
#include "mothreads/log.h"
#include "mothreads/stopping.h"

namespace mothreads::internal {
namespace {

constexpr std::chrono::seconds kPatienceWithLog{5};

std::string indent_of(int depth) { return std::string(static_cast<std::size_t>(2 * depth), ' '); }

void add_stack(std::string& text, const std::string& indent, const std::vector<std::string>& stack) {
  for (const std::string& line : stack) text += fmt::format("\n{}    {}", indent, line);
}

void add_hosted(std::string& text, const HostedContext& context, int depth, bool with_stacks) {
  const std::string indent = indent_of(depth);
  text += fmt::format("\n{}fiber \"{}\" {}", indent, context.name, context.state);
  if (context.takes_stop) text += context.told_to_stop ? "; please_stop was given" : "; please_stop was not given";
  if (context.is_cancelled) text += "; it was cancelled";
  if (with_stacks) add_stack(text, indent, describe_frames(context.stack));
}

// What a thread waits on, and its stack. With fibers, what runs is mostly one of those: then it is the thread's own part.
void add_own_part(std::string& text, const Node& node, const HostedContexts* hosted, const std::string& indent, bool with_stacks) {
  std::optional<WaitReport> waits_on;
  std::uint64_t os_thread_id = 0;
  node.with_context([&](Context& context) {
    waits_on = context.waits_on();
    if (const auto* thread = dynamic_cast<const ThreadContext*>(&context)) os_thread_id = thread->os_thread_id();
  });
  if (hosted != nullptr) {
    text += " " + hosted->shown.front().state;
  } else if (waits_on) {
    text += " " + waits_on->what;
    if (waits_on->since) {
      const std::chrono::duration<double> since = std::chrono::steady_clock::now() - *waits_on->since;
      text += fmt::format(", for {:.3f} s", since.count());
    }
  } else if (os_thread_id != 0) {
    text += " waits on nothing of this library";
  }
  text += node.please_stop() ? "; please_stop was given" : "; please_stop was not given";
  if (!with_stacks || (os_thread_id == 0 && hosted == nullptr)) return;
  const std::vector<std::string> stack = hosted != nullptr ? describe_frames(hosted->shown.front().stack) : stack_of_thread(os_thread_id);
  add_stack(text, indent, stack);
  if (stack.empty()) text += fmt::format("\n{}    (no stack: the thread did not answer)", indent);
}

void add_fibers(std::string& text, const std::optional<HostedContexts>& hosted, int depth, bool with_stacks) {
  const std::string indent = indent_of(depth);
  if (!hosted) {
    text += fmt::format("\n{}(no word of its fibers: the thread did not answer)", indent);
    return;
  }
  for (std::size_t i = 1; i < hosted->shown.size(); ++i) {
    add_hosted(text, hosted->shown[i], depth + hosted->shown[i].depth - 1, with_stacks);
  }
  if (hosted->left_out > 0) text += fmt::format("\n{}and {} more fibers", indent, hosted->left_out);
}

void add(std::string& text, const Node& node, int depth, bool with_stacks) {
  if (node.stopped()) return;
  const std::string indent = indent_of(depth);
  const std::vector<Ref<Node>> children = node.children();
  std::optional<HostedContexts> hosted;
  for (const Ref<Node>& child : children) {
    if (child->is_part_of_parent()) hosted = child->look_inside();
  }
  text += fmt::format("\n{}{} \"{}\"", indent, node.kind(), node.name());
  add_own_part(text, node, hosted ? &*hosted : nullptr, indent, with_stacks);
  for (const Ref<Node>& child : children) {
    add(text, *child, depth + 1, with_stacks);
    if (child->is_part_of_parent() && !child->stopped()) add_fibers(text, hosted, depth + 2, with_stacks);
  }
}

}  // namespace

std::string describe_unstopped(const Node& top, bool with_stacks) {
  std::string text;
  add(text, top, 0, with_stacks);
  if (top.is_part_of_parent() && !top.stopped()) add_fibers(text, top.look_inside(), 1, with_stacks);
  return text.empty() ? "\nnobody" : text;
}

void report_and_exit(std::string_view who, const Node& top) {
  // What the log writes to may be stuck, too: then the process ends without it.
  try {
    std::thread([] {
      std::this_thread::sleep_for(kPatienceWithLog);
      end_suddenly(kExitDidNotStop);
    }).detach();
  } catch (const std::system_error&) {
    // No more threads: then only the log decides.
  }
  log::critical("\"{}\" was told to stop and did not by its deadline; who did not stop:{}\nThe process ends with exit code {}",
                who, describe_unstopped(top, /*with_stacks=*/true), kExitDidNotStop);
  end_log_thread();
  std::fflush(nullptr);
  end_suddenly(kExitDidNotStop);
}

}  // namespace mothreads::internal
