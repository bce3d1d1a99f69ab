#pragma once

// The time between the announcement of a stop and the stop: see MainThread::drain(). One for the process, and for each simulation; holds may be older than main().
//
//     open --begin()--> draining: no hold is left, or its time is over --> the main node is asked to stop
//       `------------------------- somebody asks the main node to stop ------------^

#include <cstddef>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/base/linked_list.h"
#include "mothreads/internal/base/tiny_mutex.h"

namespace mothreads::inline v0::internal {

class Drain;
class MainNode;

// What a drain waits for. In a child of fork() one of the parent's holds up nothing.
struct Hold {
  const std::string name;
  Drain* const drain;
  const Born born{};
  Hold* older = nullptr;
  Hold* newer = nullptr;
};

class Drain {
 public:
  // The process's.
  static Drain& instance();
  // The drain of the main node in force.
  static Drain& here();

  Drain() = default;
  Drain(const Drain&) = delete;
  Drain& operator=(const Drain&) = delete;

  void add(Hold& hold) noexcept;
  void remove(Hold& hold);  // the last one asks the main node to stop

  // So long a drain may take from now on; zero for none: then begin() asks for the stop at once.
  void set_time(absl::Duration time);
  // Makes `draining` of the main node in force go; nothing when it has gone. Never blocks.
  void begin();
  // Called by the main node, before anybody is told to stop.
  void stop_begins(const MainNode& main);

  // In the child of a fork(): the holds, and a drain that is under way, are the parent's.
  void go_on_in_child() noexcept;

  // "\nthe drain waits for 2 holds: job 1, job 2", or nothing when there is no drain.
  std::string describe() const;

 private:
  void time_is_over(const MainNode& main);
  void release();
  std::string names() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable TinyMutex mutex_;
  LinkedList<Hold, &Hold::older, &Hold::newer> list_ ABSL_GUARDED_BY(mutex_);
  std::size_t holds_ ABSL_GUARDED_BY(mutex_) = 0;  // and one more while a drain is being announced
  const MainNode* draining_ ABSL_GUARDED_BY(mutex_) = nullptr;  // compared only
  absl::Duration time_ ABSL_GUARDED_BY(mutex_) = absl::ZeroDuration();
};

}  // namespace mothreads::internal
