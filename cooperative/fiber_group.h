#pragma once

// Owns many fibers.
//
//     std::vector<Job> jobs;                                    // what the members use comes before the group
//     co::FiberGroup workers("workers");                        // leaving the scope stops them and waits for them
//     for (int i = 0; i < 4; ++i) workers.spawn("worker", work, std::ref(jobs));
//     workers.join();
//
// The group is a place of its own in the tree of fibers, under the fiber that made it. Its members' results are dropped; what they
// throw is kept for join(). Who wants a result takes a handle: spawn({.name = "reader", .parent = workers}, read). A failure is then
// the handle's, until that is released or destroyed without having given it: from then on it is the group's, as if there had been no
// handle. What a member makes and releases becomes a member, too, and what that throws is the group's likewise. Used on one
// scheduler's thread alone; a mothreads::ThreadGroup owns threads.

#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "cooperative/fiber.h"
#include "cooperative/internal/scheduler/group_place.h"
#include "mothreads/end_record.h"
#include "mothreads/member.h"
#include "mothreads/signal.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {

// Members of a group were joined and some of them failed.
class FibersFailed : public std::runtime_error {
 public:
  // The message lists every failure.
  explicit FibersFailed(std::vector<mothreads::EndRecord> ends);
  const std::vector<mothreads::EndRecord>& ends() const { return ends_; }  // of those that failed, in the order they did

 private:
  std::vector<mothreads::EndRecord> ends_;
};

struct FiberGroupOptions {
  std::string name = {};
  bool stop_in_turn = false;  // tell a member to stop only when the one made after it has ended
  bool fail_fast = false;     // the first failure stops all
  FiberParent parent = {};    // in the place of the fiber that makes the group; a group: in the place of who made that
  std::optional<absl::Duration> stop_limit = std::nullopt;  // by when after stop() its members must have ended; default stop_deadline(),
                                                            // and never more than one above has left
};

class [[nodiscard]] FiberGroup {
 public:
  [[nodiscard]] explicit FiberGroup(std::string_view name) : FiberGroup(FiberGroupOptions{.name = std::string(name)}) {}
  [[nodiscard]] explicit FiberGroup(const FiberGroupOptions& options);
  [[nodiscard]] FiberGroup(std::string_view name, const FiberGroupOptions& options);  // whatever name these have

  // Stops all, newest first, and waits for them. Failures that join() did not give are logged, and make the exit code non-zero.
  ~FiberGroup();
  FiberGroup(const FiberGroup&) = delete;
  FiberGroup& operator=(const FiberGroup&) = delete;

  // As co::spawn. Throws mothreads::Misuse when the fiber that made the group has ended.
  template <typename F, typename... Args>
  void spawn(std::string_view name, F&& function, Args&&... args) {
    internal::spawn({.name = name, .parent = parent().ref(mothreads::internal::kAccess)}, std::forward<F>(function), std::forward<Args>(args)...).release();
  }
  // In this group, whatever parent the options name.
  template <typename F, typename... Args>
  void spawn(FiberOptions options, F&& function, Args&&... args) {
    options.parent = parent();
    cooperative::spawn(options, std::forward<F>(function), std::forward<Args>(args)...).release();
  }

  // Waits until all members have ended, also those made meanwhile, and then throws FibersFailed when any failed since the last call
  // whose failure is no handle's. When the limit comes first throws Timedout. It does not stop them: close what feeds them, or call stop().
  // Throws mothreads::Misuse for a member, which would wait for itself.
  void join(const mothreads::Until& until = {});

  // Asks them to stop, newest first; does not wait. Members made later are asked at once. A function without please_stop is cancelled.
  // Chain: group.stop().join().
  FiberGroup& stop();
  const mothreads::Signal& please_stop() const { return place_->please_stop; }

  const std::string& name() const { return place_->name; }
  std::size_t size() const;  // members that have not ended

  operator FiberParent() const { return parent(); }
  // For any thread; throws mothreads::Misuse when the fiber that made the group has ended.
  operator mothreads::Member() const;

 private:
  internal::SchedulerCore* core() const;  // null once it has ended
  FiberParent parent() const;

  const std::shared_ptr<internal::GroupPlace> place_;
};

}  // namespace cooperative
