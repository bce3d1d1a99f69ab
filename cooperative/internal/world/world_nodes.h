#pragma once

// The places of a test world in the shutdown tree: its root, above all its threads, and its timers.

#include "absl/time/time.h"
#include "mothreads/clock.h"
#include "mothreads/internal/tree/main_node.h"
#include "mothreads/internal/tree/node.h"
#include "mothreads/signal.h"

namespace cooperative::inline v0::internal {

// Of one run(): what is told to stop stays so.
class WorldRoot final : public mothreads::internal::MainNode {
 public:
  WorldRoot(mothreads::Clock& clock, absl::Duration drain) : MainNode("world", mothreads::Signal("please_stop for the world"), clock, drain) {}
  mothreads::MemberKind kind() const override { return mothreads::MemberKind::world; }
  bool is_only_its_children() const override { return true; }  // which it stops at the end of each run()
  // All of them have ended: nobody waits for the deadline of its stop.
  void stop_is_over() noexcept { end_watch(); }
};

// As the library's own thread "timers" has outside: in no tree, and what it starts belongs to the world.
class WorldTimersNode final : public mothreads::internal::Node {
 public:
  explicit WorldTimersNode(mothreads::Clock& clock) : Node("timers", mothreads::Signal("please_stop for timers"), clock) {}
  void belong_to(mothreads::internal::Node& root) noexcept { root_ = &root; }
  mothreads::MemberKind kind() const override { return mothreads::MemberKind::library_thread; }
  bool takes_children() const override { return false; }
  Node& parent_of_new() override { return *root_; }

 private:
  Node* root_ = nullptr;  // of the run that there is
};

}  // namespace cooperative::internal
