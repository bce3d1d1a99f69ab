#include "cooperative/internal/scheduler_node.h"

#include <utility>

namespace cooperative::internal {

using mothreads::Instant;
using mothreads::Signal;
using mothreads::internal::Node;
using mothreads::internal::Ref;

SchedulerNode::SchedulerNode(std::string_view name, SchedulerCore& core, mothreads::Clock& clock)
    : Node(name, Signal("please_stop for " + std::string(name)), clock), core_(core), mailbox_(core.mailbox()) {}

void SchedulerNode::await_end() {
  if (SchedulerCore::current_or_null() == &core_) {
    core_.end();
  } else {
    stopped().wait();
  }
}

// Through the mailbox of this life of the core: another thread may have the core by now.
void SchedulerNode::tell_children(const std::vector<Ref<Node>>&, const std::optional<Instant>&) {
  struct StopAll final : Call {
    explicit StopAll(SchedulerCore& its_core) : core(its_core) {}
    void run() override {
      core.start_stopper();
      delete this;
    }
    void withdraw() noexcept override { delete this; }
    bool is_urgent() const noexcept override { return true; }
    SchedulerCore& core;
  };
  auto stop = std::make_unique<StopAll>(core_);
  if (!mailbox_->post(*stop)) return;
  static_cast<void>(stop.release());
  core_.wake_if_asleep();
}

}  // namespace cooperative::internal
