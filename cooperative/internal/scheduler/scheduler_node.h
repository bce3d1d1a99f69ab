#pragma once

// The place of a scheduler in the shutdown tree: under the thread that runs it.

#include <cstdint>
#include <memory>
#include <optional>

#include "cooperative/internal/scheduler/mailbox.h"
#include "mothreads/internal/tree/node.h"

namespace cooperative::inline v0::internal {

class SchedulerCore;

class SchedulerNode final : public mothreads::internal::Node {
 public:
  SchedulerNode(std::string_view name, SchedulerCore& core, mothreads::Clock& clock);

  // Its own thread ends the scheduler; another only waits for that.
  void await_end() override;
  mothreads::MemberKind kind() const override { return mothreads::MemberKind::scheduler; }
  bool takes_children() const override { return false; }
  bool is_part_of_parent() const override { return true; }
  bool unwinds_at_deadline() const override { return true; }
  // Asks the scheduler's thread, by a signal; in a test world whoever asks is on it.
  std::optional<mothreads::internal::HostedContexts> look_inside() const override;

 private:
  // Nobody: the scheduler's thread tells the fibers.
  std::vector<mothreads::internal::Ref<Node>> first_to_tell(const std::optional<mothreads::Instant>& deadline) override;

  SchedulerCore& core_;
  const std::shared_ptr<Mailbox> mailbox_;
  const std::uint64_t os_thread_id_;  // of who made it; 0 in a test world
};

}  // namespace cooperative::internal
