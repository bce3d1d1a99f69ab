#pragma once

// OS threads that always know how to stop.
//
//     auto reader = Thread::run("reader", read_jobs, std::ref(todo));     // int read_jobs(Queue<Job>&, Signal please_stop)
//     int lines = reader.join();                                          // its result, or its exception
//
// Every thread has a name, a parent (the thread that made it, unless told otherwise) and a please_stop signal, which its
// function takes as last parameter. A thread has ended when its function has returned or thrown; then its children are told
// to stop, newest first, and waited for, and only then is it `stopped`.
//
// The handle owns the thread: its destructor stops it and waits for it, so what a thread uses by reference must only outlive
// the handle. A stop that takes longer than stop_deadline() ends the process with a report (stopping.h), unless a ThreadGroup above has
// chosen otherwise (when_stuck.h). A failure that nobody takes by join() is logged and makes the exit code non-zero.
//
// For the functions of a thread's own end (a then() function of its stopped(), a destructor of what its function captured) the thread is over:
// a join() returns at once, the handle may be destroyed or replaced, and a thread that is started there belongs to the next above that lives
// on. This is how a supervisor starts the next.
//
// Everything in a thread happens before a join() that returns and before a true `stopped`.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "mothreads/end_record.h"
#include "mothreads/ended_early.h"
#include "mothreads/internal/base/access.h"
#include "mothreads/internal/thread_state.h"
#include "mothreads/member.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/until.h"

namespace mothreads::inline v0 {

template <typename R>
class ThreadHandle;
struct ThreadOptions;

// The original's name: join() did not end in time, and the thread goes on.
using ThreadTimeout = Timedout;

// Several threads were joined and some of them failed.
class ThreadsFailed : public std::runtime_error {
 public:
  // The message lists them all.
  explicit ThreadsFailed(std::vector<EndRecord> ends, std::vector<Member> late = {});
  // Of those that failed or are lost, with what they threw.
  const std::vector<EndRecord>& ends() const { return ends_; }
  // The others, of join_all(): they had not ended when its limit came.
  const std::vector<Member>& late() const { return late_; }

 private:
  std::vector<EndRecord> ends_;
  std::vector<Member> late_;
};

// A thread to look at, whoever owns it. A cheap handle; it does not keep the thread running. Thread-safe.
class Thread {
 public:
  // Starts a thread that calls function(args..., please_stop). The arguments are moved or copied into it, std::ref() passes a
  // reference. Throws std::system_error, naming the thread, when the system refuses one; Misuse when the parent has ended.
  template <typename F, typename... Args>
  static auto run(std::string_view name, F&& function, Args&&... args);
  template <typename F, typename... Args>
  static auto run(const ThreadOptions& options, F&& function, Args&&... args);

  // The thread that calls it. For one that the library does not know (see RegisterThread) a name is made up, with a warning in
  // the log.
  static Thread current();

  const std::string& name() const { return node_->name(); }
  std::uint64_t id() const { return node_->id(); }  // unique in the process, never used again
  Signal please_stop() const { return node_->please_stop(); }
  Signal stopped() const { return node_->stopped(); }
  bool is_alive() const { return !stopped(); }

  // Asks its children, then itself, to stop; does not block.
  const Thread& stop() const {
    node_->request_stop();
    return *this;
  }

  // How it ended; none while it runs.
  std::optional<EndRecord> end() const { return node_->end(); }
  operator Member() const { return Member(node_, internal::kAccess); }

  std::optional<Thread> parent() const;   // none for the main thread, and once it has left the tree
  std::vector<Thread> children() const;  // in the order they were made

  friend bool operator==(const Thread& a, const Thread& b) { return a.node_.get() == b.node_.get(); }

  // For the library.
  Thread(internal::Ref<internal::Node> node, internal::Access) : node_(std::move(node)) {}
  internal::Node& node(internal::Access) const { return *node_; }

 private:
  internal::Ref<internal::Node> node_;
};

// The least ThreadOptions::stack_size: the library's part of a thread's end, with a log line and the stop of whatever runs below it, fits.
inline constexpr std::size_t kLeastThreadStack = std::size_t{64} * 1024;

struct ThreadOptions {
  std::string name = {};
  Member parent = {};                                // who stops and waits for it; default the current thread
  std::optional<Signal> please_stop = std::nullopt;  // may be shared: whoever makes it go stops all that have it
  std::size_t stack_size = 0;                        // bytes, at least kLeastThreadStack, else run() throws std::system_error; 0 for
                                                     // the system's default (8 MiB of address space)
};

// Owns a thread whose function returns R. Movable; not thread-safe itself.
template <typename R>
class [[nodiscard]] ThreadHandle {
 public:
  ThreadHandle() = default;  // owns nothing
  ThreadHandle(ThreadHandle&&) noexcept = default;
  ThreadHandle& operator=(ThreadHandle&& other) {
    if (this != &other) {
      stop_and_wait();
      state_ = std::move(other.state_);
    }
    return *this;
  }
  ~ThreadHandle() { stop_and_wait(); }

  // Waits until it has stopped, with all its children, and gives its result, or throws what it threw. The handle then owns
  // nothing. When the limit comes first throws Timedout or Stopped, and the handle still owns the thread; likewise WasLost, when it did not
  // stop by its deadline (when_stuck.h). Throws Misuse when it can never end: a thread that joins itself, or one that it runs under.
  R join(const Until& until = {});

  // Asks its children, then itself, to stop; does not block. Chain: t.stop().join().
  ThreadHandle& stop() {
    state().request_stop();
    return *this;
  }

  // Hands the thread to its parent, which stops and waits for it when the parent's own function has ended. What the thread uses
  // must outlive that. Its result is dropped, its failure logged.
  void release() {
    static_cast<void>(state());
    const internal::Ref<internal::ThreadState<R>> released = std::exchange(state_, {});
    released->release();
  }

  Signal stopped() const { return state().stopped(); }
  Signal please_stop() const { return state().please_stop(); }
  const std::string& name() const { return state().name(); }
  bool is_alive() const { return owns() && !stopped(); }
  std::optional<EndRecord> end() const { return state().end(); }  // none while it runs
  bool owns() const { return static_cast<bool>(state_); }
  operator Member() const { return Member(internal::Ref<internal::ThreadState<R>>(state()), internal::kAccess); }
  Thread thread() const { return Thread(internal::Ref<internal::Node>(internal::Ref<internal::ThreadState<R>>(state_)), internal::kAccess); }

  // For the library: takes over a started thread.
  ThreadHandle(internal::Ref<internal::ThreadState<R>> state, internal::Access) : state_(std::move(state)) {}

 private:
  internal::ThreadState<R>& state() const {
    if (!state_) throw Misuse("this ThreadHandle owns no thread: it was joined, released or moved from");
    return *state_;
  }
  void stop_and_wait();

  internal::Ref<internal::ThreadState<R>> state_;
};

// Joins every one of the handles, also when some fail or the limit comes, and gives the results in the order of the handles
// (for void: nothing). The limit is one for all. Throws ThreadsFailed when any failed or did not end in time;
// the handles of the latter keep them.
template <typename R>
auto join_all(std::vector<ThreadHandle<R>>& handles, const Until& until = {});

// Those of the process that were marked lost (when_stuck.h) and have not ended since, in the order of the marking. Every report has them.
std::vector<Member> lost_members();

}  // namespace mothreads

#include "mothreads/internal/thread_impl.h"
