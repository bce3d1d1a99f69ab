#include "mothreads/internal/stop_report.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/core.h>

#include "mothreads/internal/base/printable.h"
#include "mothreads/internal/base/sudden_end.h"
#include "mothreads/internal/log_thread.h"
#include "mothreads/internal/runtime.h"
#include "mothreads/internal/stack_trace.h"
#include "mothreads/internal/tree/lost.h"
#include "mothreads/internal/wait/thread_context.h"
#include "mothreads/log.h"
#include "mothreads/stopping.h"

namespace mothreads::inline v0::internal {
namespace {

constexpr std::chrono::seconds kPatienceWithLog{5};

std::string indent_of(int depth) { return std::string(static_cast<std::size_t>(2 * depth), ' '); }

void add_stack(std::string& text, const std::string& indent, const std::vector<std::string>& stack) {
  for (const std::string& line : stack) text += fmt::format("\n{}    {}", indent, line);
}

void add_wait(std::string& text, const WaitReport& waits_on) {
  text += " " + waits_on.what;
  if (!waits_on.owner.empty()) text += fmt::format(", which \"{}\" has", printable(waits_on.owner));
  if (!waits_on.since) return;
  const std::chrono::duration<double> since = std::chrono::steady_clock::now() - *waits_on.since;
  text += fmt::format(", for {:.3f} s", since.count());
}

void add_hosted(std::string& text, const HostedContext& context, int depth, bool with_stacks) {
  const std::string indent = indent_of(depth);
  text += fmt::format("\n{}{} \"{}\"", indent, context.kind, context.name);
  add_wait(text, {.what = context.state, .since = context.since, .owner = context.owner});
  if (context.takes_stop) text += context.told_to_stop ? "; please_stop was given" : "; please_stop was not given";
  if (context.is_cancelled) text += "; it was cancelled";
  if (with_stacks) add_stack(text, indent, describe_frames(context.stack));
}

// What a thread waits on, and its stack. With fibers, what runs is mostly one of those: then it is the thread's own part.
void add_own_part(std::string& text, const Node& node, const HostedContexts* hosted, const std::string& indent, bool with_stacks) {
  std::optional<WaitReport> waits_on;
  std::uint64_t os_thread_id = 0;
  node.context().with([&](Context& context) {
    waits_on = context.waits_on();
    if (const auto* thread = dynamic_cast<const ThreadContext*>(&context)) os_thread_id = thread->os_thread_id();
  });
  if (hosted != nullptr) {
    const HostedContext& own = hosted->shown.front();
    add_wait(text, {.what = own.state, .since = own.since, .owner = own.owner});
  } else if (waits_on) {
    add_wait(text, *waits_on);
  } else if (os_thread_id != 0) {
    text += " waits on nothing of this library";
  }
  text += node.please_stop() ? "; please_stop was given" : "; please_stop was not given";
  if (!with_stacks || (os_thread_id == 0 && hosted == nullptr)) return;
  const std::vector<std::string> stack = hosted != nullptr ? describe_frames(hosted->shown.front().stack) : stack_of_thread(os_thread_id);
  add_stack(text, indent, stack);
  if (stack.empty()) text += fmt::format("\n{}    (no stack: the thread did not answer)", indent);
}

// 1,234,567.
std::string grouped(std::uint64_t number) {
  std::string text = fmt::format("{}", number);
  for (std::size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, 1, ',');
  return text;
}

void add_progress(std::string& text, std::string_view what, std::uint64_t told, std::uint64_t ended, const std::string& indent) {
  if (told > 0) text += fmt::format("\n{}{}: {} of {} ended", indent, what, grouped(std::min(ended, told)), grouped(told));
}

void add_fibers(std::string& text, const std::optional<HostedContexts>& hosted, int depth, bool with_stacks) {
  const std::string indent = indent_of(depth);
  if (!hosted) {
    text += fmt::format("\n{}(no word of what it runs: the thread did not answer)", indent);
    return;
  }
  for (std::size_t i = 1; i < hosted->shown.size(); ++i) {
    add_hosted(text, hosted->shown[i], depth + hosted->shown[i].depth - 1, with_stacks);
  }
  if (hosted->left_out == 0) return;
  text += fmt::format("\n{}and {} more {}", indent, hosted->left_out, hosted->kinds);
  add_progress(text, hosted->kinds, hosted->told, hosted->told - std::min(hosted->told, hosted->alive), indent);
}

void add_foreign_threads(std::string& text) {
  const std::vector<ThreadContext::ForeignThreadInfo> threads = ThreadContext::foreign_threads();
  for (std::size_t i = 0; i < std::min(threads.size(), kMaxShownInReport); ++i) {
    text += fmt::format("\nthread \"{} (foreign)\"", printable(threads[i].name));
    if (threads[i].waits_on) {
      add_wait(text, *threads[i].waits_on);
    } else {
      text += " waits on nothing of this library";
    }
    text += "; no stop waits for it";
  }
  if (threads.size() > kMaxShownInReport) text += fmt::format("\nand {} more foreign threads", grouped(threads.size() - kMaxShownInReport));
}

class Report {
 public:
  explicit Report(bool with_stacks) : with_stacks_(with_stacks) {}

  // In a loop: the tree may be deeper than a stack.
  void add_tree(const Node& top) {
    add(top, nullptr, 0);
    while (!left_.empty()) {
      const Entry next = std::move(left_.back());
      left_.pop_back();
      add(*next.node, next.hosted.get(), next.depth);
    }
  }

  // Those that are in no tree any more.
  void add_lost(const Node& top) {
    for (const Ref<TreeMember>& lost : lost_in_process()) {
      const auto* const node = dynamic_cast<const Node*>(lost.get());  // a fiber is shown with its thread
      if (node != nullptr && !node->is_below(top) && !node->parent()) add(*node, nullptr, 0);
    }
  }

  std::string finish(const Node& top) {
    if (left_out_ == 0) return text_.empty() ? "\nnobody" : std::move(text_);
    text_ += fmt::format("\nand {} more", grouped(left_out_));
    const StopProgress progress = top.progress();
    add_progress(text_, "threads", progress.told, progress.stopped, "");
    return std::move(text_);
  }

 private:
  using Hosted = std::optional<HostedContexts>;
  struct Entry {
    Ref<Node> node;
    std::shared_ptr<const Hosted> hosted;  // of a scheduler: its fibers
    int depth;
  };

  void add(const Node& node, const Hosted* hosted, int depth) {
    if (node.stopped()) return;
    const std::vector<Ref<Node>> children = node.children();
    const bool is_shown = shown_ < kMaxShownInReport;
    std::shared_ptr<const Hosted> own;
    for (const Ref<Node>& child : children) {
      if (is_shown && child->is_part_of_parent()) own = std::make_shared<const Hosted>(child->look_inside());
    }
    if (is_shown) {
      ++shown_;
      show(node, own, hosted, depth);
    } else if (!node.is_part_of_parent()) {
      ++left_out_;
    }
    for (auto child = children.rbegin(); child != children.rend(); ++child) {
      left_.push_back({*child, (*child)->is_part_of_parent() ? own : nullptr, depth + 1});
    }
  }

  void show(const Node& node, const std::shared_ptr<const Hosted>& own, const Hosted* hosted, int depth) {
    const std::string indent = indent_of(depth);
    text_ += fmt::format("\n{}{} \"{}\"", indent, to_string(node.kind()), node.name());
    if (node.ending().is_lost()) text_ += " (lost)";
    add_own_part(text_, node, own != nullptr && *own ? &**own : nullptr, indent, with_stacks_);
    if (!node.is_part_of_parent()) return;
    const Hosted alone = hosted == nullptr && depth == 0 ? node.look_inside() : std::nullopt;
    add_fibers(text_, hosted == nullptr ? alone : *hosted, depth + 1, with_stacks_);
  }

  const bool with_stacks_;
  std::string text_;
  std::size_t shown_ = 0;
  std::size_t left_out_ = 0;
  std::vector<Entry> left_;
};

}  // namespace

std::string describe_unstopped(const Node& top, bool with_stacks) {
  Report report(with_stacks);
  report.add_tree(top);
  report.add_lost(top);
  std::string text = report.finish(top);
  if (&top == &main_node() || !top.parent()) add_foreign_threads(text);
  return text;
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
