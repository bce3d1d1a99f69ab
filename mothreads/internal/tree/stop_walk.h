#pragma once

// The way of one stop through the shutdown tree: whoever is below somebody is told before, newest first. In a loop, because trees may be
// deep, and stacks are not.
//
// What a please_stop sets off is foreign code: then() functions, which may stop, start and destroy threads of the same tree. No lock is held
// meanwhile, and the walk keeps those on its way alive.
//
// A node whose part of the tree has been told is left out, unless the deadline is earlier than the one that it has. One that another walk
// has begun with is gone through again, so that all have been told when the call returns, whoever told them.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "mothreads/instant.h"
#include "mothreads/internal/tree/node.h"

namespace mothreads::inline v0 {
class Clock;
}

namespace mothreads::inline v0::internal {

// What a node hands down with the request.
struct StopOrder {
  std::optional<Instant> deadline;  // by which those below must have stopped,
  Clock* clock = nullptr;           // as this clock tells the time
  Ref<Node> watcher;                // who set it
};

class StopWalk {
 public:
  // Tells all below `top`, and then `top`. True when it had not been told.
  bool tell(Node& top, const StopOrder& order);
  // Tells all below, and not `top`, which waits for them: sets the deadline by which they must have stopped.
  void tell_those_below(Node& top);
  // Tells those for whom `top` has had others wait.
  void tell(Node& top, std::vector<Ref<Node>> next);

  // For tests: how many nodes all walks of the process have looked at.
  static std::uint64_t steps();

 private:
  // One on the way down.
  struct Level {
    Ref<Node> node;
    bool is_meant;  // to be told itself
    StopOrder order;
    std::vector<Ref<Node>> below;
    std::size_t next = 0;
  };

  bool enter(Node& node, const StopOrder& order);
  void go_on();
  static void leave(Level level);

  std::vector<Level> way_;
};

}  // namespace mothreads::internal
