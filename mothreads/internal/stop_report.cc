#include "mothreads/internal/stop_report.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <system_error>
#include <thread>

#include <fmt/core.h>

#include "mothreads/contexts/thread_context.h"
#include "mothreads/internal/log_thread.h"
#include "mothreads/internal/stack_trace.h"
#include "mothreads/log.h"
#include "mothreads/stopping.h"

namespace mothreads::internal {
namespace {

constexpr std::chrono::seconds kPatienceWithLog{5};

void add(std::string& text, const Node& node, int depth, bool with_stacks) {
  if (node.stopped()) return;
  const std::string indent(static_cast<std::size_t>(2 * depth), ' ');
  std::optional<WaitReport> waits_on;
  std::uint64_t os_thread_id = 0;
  node.with_context([&](Context& context) {
    waits_on = context.waits_on();
    if (const auto* thread = dynamic_cast<const ThreadContext*>(&context)) os_thread_id = thread->os_thread_id();
  });
  text += fmt::format("\n{}{} \"{}\"", indent, node.kind(), node.name());
  if (waits_on) {
    text += " " + waits_on->what;
    if (waits_on->since) {
      const std::chrono::duration<double> since = std::chrono::steady_clock::now() - *waits_on->since;
      text += fmt::format(", for {:.3f} s", since.count());
    }
  } else if (os_thread_id != 0) {
    text += " waits on nothing of this library";
  }
  text += node.please_stop() ? "; please_stop was given" : "; please_stop was not given";
  if (with_stacks && os_thread_id != 0) {
    const std::vector<std::string> stack = stack_of_thread(os_thread_id);
    for (const std::string& line : stack) text += fmt::format("\n{}    {}", indent, line);
    if (stack.empty()) text += fmt::format("\n{}    (no stack: the thread did not answer)", indent);
  }
  for (const Ref<Node>& child : node.children()) add(text, *child, depth + 1, with_stacks);
}

}  // namespace

std::string describe_unstopped(const Node& top, bool with_stacks) {
  std::string text;
  add(text, top, 0, with_stacks);
  return text.empty() ? "\nnobody" : text;
}

void report_and_exit(const Node& top) {
  // What the log writes to may be stuck, too: then the process ends without it.
  try {
    std::thread([] {
      std::this_thread::sleep_for(kPatienceWithLog);
      _exit(kExitDidNotStop);
    }).detach();
  } catch (const std::system_error&) {
    // No more threads: then only the log decides.
  }
  log::critical("\"{}\" was told to stop and did not by its deadline; who did not stop:{}\nThe process ends with exit code {}",
                top.name(), describe_unstopped(top, /*with_stacks=*/true), kExitDidNotStop);
  end_log_thread();
  std::fflush(nullptr);
  _exit(kExitDidNotStop);
}

}  // namespace mothreads::internal
