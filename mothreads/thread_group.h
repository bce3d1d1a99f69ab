#pragma once

// Owns many threads.
//
//     std::vector<Job> jobs;                                    // what the members use comes before the group
//     ThreadGroup workers("workers");                           // leaving the scope stops and joins them
//     for (int i = 0; i < 4; ++i) workers.run("worker", work, std::ref(jobs));
//     workers.join();
//
// The group is a place of its own in the shutdown tree, under the thread that made it. Its members' results are dropped; what
// they throw is kept for join(). A group of what may get stuck, as plugins, need not take the process down with it: see when_stuck.h.
// Thread safety: every member may be called from any thread, but not beside the destructor.

#include <string>
#include <string_view>
#include <utility>

#include "absl/time/time.h"
#include "mothreads/internal/base/access.h"
#include "mothreads/internal/group_node.h"
#include "mothreads/thread.h"
#include "mothreads/when_stuck.h"

namespace mothreads::inline v0 {

struct ThreadGroupOptions {
  std::string name = {};
  bool stop_in_turn = false;  // tell a member to stop only when the one started after it has stopped
  bool fail_fast = false;     // the first failure stops all
  Member parent = {};         // who stops and waits for it; default the current thread
  std::optional<absl::Duration> stop_limit = std::nullopt;  // by when after stop() its members must have stopped; default stop_deadline(),
                                                            // and never more than one above has left
  std::optional<WhenStuck> when_stuck = std::nullopt;       // default the choice of one above, which is to end the process
};

class [[nodiscard]] ThreadGroup {
 public:
  [[nodiscard]] explicit ThreadGroup(std::string_view name) : ThreadGroup(ThreadGroupOptions{.name = std::string(name)}) {}
  [[nodiscard]] explicit ThreadGroup(const ThreadGroupOptions& options);
  [[nodiscard]] ThreadGroup(std::string_view name, const ThreadGroupOptions& options);  // whatever name these have

  // Stops all, newest first, and waits for those that are not lost. Failures that join() did not give are logged.
  ~ThreadGroup();
  ThreadGroup(const ThreadGroup&) = delete;
  ThreadGroup& operator=(const ThreadGroup&) = delete;

  // As Thread::run. Throws Misuse when the thread that made the group has ended.
  template <typename F, typename... Args>
  Thread run(std::string_view name, F&& function, Args&&... args);
  // In this group, whatever parent the options name.
  template <typename F, typename... Args>
  Thread run(ThreadOptions options, F&& function, Args&&... args);

  // Waits until all members have stopped or are lost, also those started meanwhile, and then throws ThreadsFailed when any failed or was lost
  // since the last call. The limit ends it with Timedout or Stopped. It does not stop them: close what feeds them, or call stop().
  void join(const Until& until = {});

  // Asks them to stop, newest first; does not block. Members started later are asked at once. Chain: group.stop().join().
  ThreadGroup& stop() {
    node_->request_stop();
    return *this;
  }
  const Signal& please_stop() const { return node_->please_stop(); }
  operator Member() const { return Member(node_, internal::kAccess); }

  const std::string& name() const { return node_->name(); }
  const internal::GroupNode& node(internal::Access) const { return *node_; }  // for the library
  std::vector<Thread> members() const { return Thread(node_, internal::kAccess).children(); }  // still running

 private:
  internal::Ref<internal::GroupNode> node_;
};

template <typename F, typename... Args>
Thread ThreadGroup::run(std::string_view name, F&& function, Args&&... args) {
  return run(ThreadOptions{.name = std::string(name)}, std::forward<F>(function), std::forward<Args>(args)...);
}

template <typename F, typename... Args>
Thread ThreadGroup::run(ThreadOptions options, F&& function, Args&&... args) {
  options.parent = *this;
  auto state = internal::make_thread(options, std::forward<F>(function), std::forward<Args>(args)...);
  state->release();
  internal::start_thread(*state, options);
  return Thread(internal::Ref<internal::Node>(std::move(state)), internal::kAccess);
}

}  // namespace mothreads
