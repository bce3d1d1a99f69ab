#pragma once

// The places of a test world in the shutdown tree: its root, above all its threads, and its timers.

#include <string_view>

#include "mothreads/clock.h"
#include "mothreads/contexts/node.h"
#include "mothreads/signal.h"

namespace cooperative::internal {

class WorldRoot final : public mothreads::internal::Node {
 public:
  using Node::Node;
  mothreads::MemberKind kind() const override { return mothreads::MemberKind::world; }
  bool is_only_its_children() const override { return true; }  // which it stops at the end of each run()
};

// As the library's own thread "timers" has outside: in no tree, and what it starts belongs to the world.
class WorldTimersNode final : public mothreads::internal::Node {
 public:
  WorldTimersNode(mothreads::Clock& clock, mothreads::internal::Node& root) : Node("timers", mothreads::Signal("please_stop for timers"), clock), root_(root) {}
  mothreads::MemberKind kind() const override { return mothreads::MemberKind::library_thread; }
  bool takes_children() const override { return false; }
  Node& parent_of_new() override { return root_; }

 private:
  Node& root_;
};

}  // namespace cooperative::internal
