#pragma once

// The root of the shutdown tree, and the beginning and end of everything that the library keeps for the process.

#include "mothreads/contexts/node.h"

namespace mothreads::internal {

// What the program's main thread is: the parent of what it starts, and of threads that the library does not know.
class MainNode final : public Node {
 public:
  using Node::Node;
  MemberKind kind() const override { return MemberKind::main; }

  bool child_failed(const EndRecord& end) override;
  std::vector<EndRecord> take_failures();

  // Goes when the stop is announced, at the latest before anybody is told to stop.
  const Signal& draining() const { return draining_; }

 private:
  void begins_to_stop() override;

  const Signal draining_{SignalState::make_owned("draining", "call MainThread::drain()")};
  TinyMutex failures_mutex_;
  std::vector<EndRecord> failures_ ABSL_GUARDED_BY(failures_mutex_);
};

// The main node in force: that of MainThread::run while it runs, else the root of the process. Its first use arranges for
// the orderly end of the process at exit().
MainNode& main_node();

// MainThread::run puts its own node in force; null restores the root.
void set_main_node(MainNode* node);

// Asks the main node to stop, and makes Tills go early, at the first request. Never blocks.
void request_main_stop();

// Ends the library's own threads, but for the one that takes signals. New Tills are DONE from now on; those that are left do not
// go, since what their functions refer to may be gone.
void end_timers_and_log();

}  // namespace mothreads::internal
