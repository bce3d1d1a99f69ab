#pragma once

// The place of a fiber or a FiberGroup in the shutdown tree, to which Members refer. It is made when somebody asks for a Member: other fibers pay
// nothing for it.

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "cooperative/internal/scheduler/fiber_block.h"
#include "cooperative/internal/scheduler/mailbox.h"
#include "mothreads/end_record.h"
#include "mothreads/instant.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/base/ref.h"
#include "mothreads/internal/base/tiny_mutex.h"
#include "mothreads/internal/tree/node.h"
#include "mothreads/internal/tree/tree_member.h"
#include "mothreads/signal.h"
#include "mothreads/wait_report.h"

namespace cooperative::inline v0::internal {

class FiberMember final : public mothreads::internal::TreeMember {
 public:
  template <typename T>
  using Ref = mothreads::internal::Ref<T>;

  // Of a fiber, or of a group's block. On its scheduler's thread, as all that takes a block.
  static Ref<FiberMember> of(FiberBlock& block);

  void ref() noexcept override { references_.fetch_add(1, std::memory_order_relaxed); }
  void unref() noexcept override {
    // acq_rel: the last owner's destruction comes after what the others did.
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  mothreads::MemberKind kind() const override { return kind_; }
  const std::string& name() const override { return name_; }
  std::uint64_t id() const override { return id_; }
  const mothreads::Signal& please_stop() const override;
  const mothreads::Signal& stopped() const override { return born_.is_left_behind() ? mothreads::DONE : stopped_; }
  void ask_to_stop() override;
  std::optional<mothreads::WaitReport> waits_on() const override;
  std::optional<mothreads::EndRecord> end() const override;
  Ref<TreeMember> above() const override;
  std::vector<Ref<TreeMember>> below() const override;
  Ref<mothreads::internal::Node> home_of_threads() override { return thread_; }

  // The block, while it is this fiber's or group's, on its thread; else null.
  FiberBlock* block() const noexcept;

  // The block has another parent.
  void note_parent(const FiberBlock& block);
  // The block is about to leave its place for good.
  void publish_end(const mothreads::EndRecord& end);
  mothreads::Instant began() const noexcept { return began_; }

 private:
  explicit FiberMember(FiberBlock& block);
  ~FiberMember() = default;

  static Ref<TreeMember> parent_of(const FiberBlock& block);
  void stop_here();
  void start_stopping() noexcept;

  std::atomic<std::uint32_t> references_{1};
  const mothreads::internal::Born born_;
  const mothreads::MemberKind kind_;
  const std::string name_;
  const std::uint64_t id_;
  FiberBlock& block_;
  const std::uint64_t core_life_;
  SchedulerCore& core_;
  const std::shared_ptr<Mailbox> mailbox_;
  const Ref<mothreads::internal::Node> thread_;
  const std::optional<mothreads::Signal> please_stop_;
  const mothreads::Signal stopped_;
  const mothreads::Instant began_;

  mutable mothreads::internal::TinyMutex mutex_;
  Ref<TreeMember> above_ ABSL_GUARDED_BY(mutex_);
  std::optional<mothreads::EndRecord> end_ ABSL_GUARDED_BY(mutex_);
};

// How a fiber ends that is still in its place, or a group. Its times are those since its Member was made.
mothreads::EndRecord end_record_of(const FiberBlock& block);
// The block is another's from now on.
void drop_member(FiberBlock& block) noexcept;
// For FiberParent. Throws mothreads::Misuse for what is no fiber or group of this thread.
ParentRef fiber_parent_of(const mothreads::internal::TreeMember& member);

}  // namespace cooperative::internal
