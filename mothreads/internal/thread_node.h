#pragma once

// A thread of the library: its place in the tree, its OS handle, what it failed with. In a simulation it has no OS handle.

#include <cstddef>
#include <exception>
#include <mutex>
#include <optional>
#include <string_view>

#include "mothreads/internal/tree/node.h"

namespace mothreads::inline v0::internal {

class Simulation;
class ThreadContext;

class ThreadNode : public Node {
 public:
  using Node::Node;

  // Attaches it to `parent` and starts the OS thread, which calls run(). `stack_size` in bytes, 0 for the system's default.
  // Throws std::system_error naming the thread when the system refuses; then nothing is left of it.
  void start(Node& parent, std::size_t stack_size);

  // The handle's end of it. Whoever takes the failure is responsible for it; a failure that nobody takes is logged.
  std::exception_ptr take_failure();
  void report_unclaimed_failure();
  // The same for the loss of one that was marked lost and still runs.
  void take_loss();

  // Nobody will join it: its failure is logged as it ends, and its parent or the next such thread reaps it.
  void release();

  // Whether this code is a function of the thread's own end: a destructor of what its function captured or returned, or a then() function of
  // its `stopped`. For that the thread is over; it finishes by itself, as one that was released.
  bool is_in_its_end() const;

  // It has been joined: nothing of it is left but in its own end.
  void leave();

  // After `stopped`: waits until the OS thread is gone.
  void reap();
  void await_end() override;
  void is_marked_lost(const EndRecord& loss) override;
  MemberKind kind() const override { return MemberKind::thread; }
  bool is_home_for_new() const override;
  void step_out(const Node& group) override;

  // Waits until it has stopped. Throws WasLost when it is marked lost, Misuse when the caller is this thread or runs below it, which would wait for ever, and in a child of
  // fork() for a thread of the parent's.
  Ended wait_stopped(const Until& until) const;

 protected:
  ~ThreadNode() override;

  // Calls the user's function and keeps its result.
  virtual void call() = 0;
  // Destroys the function and its arguments, in the thread.
  virtual void drop_function() noexcept = 0;
  // Destroys the result of a thread that nobody joins.
  virtual void drop_result() noexcept = 0;

 private:
  void report_failure(const EndRecord& end);
  static void* entry(void* node);
  static void finish(Ref<ThreadNode> node, ThreadContext& context);
  [[noreturn]] void end_in_child();
  void finish_function();

  // A thread that nobody joins cannot join itself: as its last act it leaves its OS thread to its parent and joins the one that it
  // finds there. So a parent never has more than one ended thread left over, which it joins at its own end.
  void leave_to_parent();
  OsThread take_os_thread();

  enum class Phase : unsigned char { runs, drops_function, ends_children, leaves };

  Phase phase_ = Phase::runs;          // only the thread itself looks
  bool leaves_by_itself_ = false;      // likewise: its handle went in its own end
  std::exception_ptr failure_;         // that nobody has taken; written before `stopped`
  Simulation* simulation_ = nullptr;  // whose thread it is, if it is none of the system's

  std::mutex reap_mutex_;
  OsThread os_thread_;                  // until reaped; guarded by reap_mutex_
  bool released_ = false;               // guarded by reap_mutex_
  bool has_ended_ = false;              // guarded by reap_mutex_
  std::optional<EndRecord> loss_;       // that nobody has taken; guarded by reap_mutex_
};

// For tests: forgets the failures that nobody took, and says how many there were.
int take_unclaimed_failures();

}  // namespace mothreads::internal
