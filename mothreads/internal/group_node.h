#pragma once

// The place of a ThreadGroup in the shutdown tree.

#include <atomic>
#include <cstdint>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include "mothreads/contexts/node.h"

namespace mothreads {
struct ThreadGroupOptions;
}

namespace mothreads::internal {

class GroupNode final : public Node {
 public:
  GroupNode(const ThreadGroupOptions& options, Clock& clock);

  bool child_failed(const std::string& name, const std::exception_ptr& failure) override;
  std::vector<std::pair<std::string, std::exception_ptr>> take_failures();

  // Waits until there are no members; says why if the limit comes first.
  Ended await_members(const Until& until);

  void await_end() override;
  std::string_view kind() const override { return "group"; }
  bool is_only_its_children() const override { return true; }

 private:
  void tell_children(const std::vector<Ref<Node>>& newest_first, const std::optional<Instant>& deadline) override;
  void tell_next(const std::optional<Instant>& deadline);

  const bool stop_in_turn_;
  const bool fail_fast_;
  TinyMutex failures_mutex_;
  std::vector<std::pair<std::string, std::exception_ptr>> failures_ ABSL_GUARDED_BY(failures_mutex_);
  std::atomic<std::uint64_t> in_turn_{0};  // whose end is awaited before the next is told
};

}  // namespace mothreads::internal
