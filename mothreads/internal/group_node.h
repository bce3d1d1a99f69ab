#pragma once

// The place of a ThreadGroup in the shutdown tree.

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "mothreads/internal/tree/node.h"
#include "mothreads/when_stuck.h"

namespace mothreads::inline v0 {
struct ThreadGroupOptions;
}

namespace mothreads::inline v0::internal {

class GroupNode final : public Node {
 public:
  GroupNode(const ThreadGroupOptions& options, Clock& clock);

  bool child_failed(const EndRecord& end) override;
  std::vector<EndRecord> take_failures();

  // Waits until there are no members but lost ones; says why if the limit comes first.
  Ended await_members(const Until& until);

  void await_end() override;
  MemberKind kind() const override { return MemberKind::thread_group; }
  bool is_only_its_children() const override { return true; }
  const WhenStuck* when_stuck() const override { return when_stuck_ ? &*when_stuck_ : nullptr; }
  void tell_chooser(const StopReport& report) override;
  // Waits for a call of the choice's function that is under way, which may use what the group's owner has.
  void await_telling() const;

 private:
  std::optional<absl::Duration> own_stop_limit() const override { return stop_limit_; }
  std::vector<Ref<Node>> first_to_tell(const std::optional<Instant>& deadline) override;
  std::vector<Ref<Node>> next_to_tell() override;

  // Where members stop in turn: whoever has been told, the next one is told when that one has stopped. One caller at a time looks who that
  // is; what the others want, it does for them, so that a member that has stopped by then is no reason to call deeper.
  void tell_next();
  std::vector<Ref<Node>> take_turn();
  std::vector<Ref<Node>> look_for_next();

  const bool stop_in_turn_;
  const bool fail_fast_;
  const std::optional<absl::Duration> stop_limit_;
  const std::optional<WhenStuck> when_stuck_;
  TinyMutex failures_mutex_;
  std::vector<EndRecord> failures_ ABSL_GUARDED_BY(failures_mutex_);
  mutable TinyMutex telling_mutex_;
  std::optional<Signal> telling_ ABSL_GUARDED_BY(telling_mutex_);  // goes when the function of the choice has returned
  std::atomic<std::uint32_t> turns_{0};  // looks that are wanted; whoever finds none looks
  std::uint64_t in_turn_ = 0;            // whose end is awaited before the next is told; the looker's, as the next line
  Ref<Node> being_told_;
};

}  // namespace mothreads::internal
