#pragma once

// Which descriptors have become ready: what a scheduler asks the kernel about. There is one epoll for a scheduler, made when it first
// needs one, and nobody else knows that it is an epoll.
//
//     Readiness    (readiness.h) of a descriptor that the library owns: registered once, edge-triggered, so that a wait costs no system call
//     LentWaits    for descriptors of others (poll.h): registered while somebody waits, level-triggered, in an epoll inside the epoll
//
// An edge is remembered until somebody has found nothing: flags may say "ready" where nothing is left, never the other way round. Who
// waits therefore tries first, and tries again when it goes on.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "absl/time/time.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/base/linked_list.h"

struct epoll_event;

namespace cooperative::inline v0::internal {

class LentWaits;
class Readiness;

[[noreturn]] void refuse_world();

// Something of the library's own that is told, in Poller::poll(), that a descriptor is ready. It waits for nothing.
struct ReadinessWatcher {
  virtual void arrived() noexcept = 0;

 protected:
  ~ReadinessWatcher() = default;
};

// The links of what is registered with a poller.
struct Registered {
  Registered* previous = nullptr;
  Registered* next = nullptr;
};

class Poller {
 public:
  // Throws std::system_error when the process has no more descriptors, mothreads::Misuse in a testing::World.
  explicit Poller(SchedulerCore& core);
  // What is still registered belongs to no scheduler from then on.
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  // Readable while something is ready.
  int descriptor() const noexcept { return epoll_; }

  // Ends the waits of those that are ready by now, or by `timeout` at the latest; without one it may take for ever. The bell ends it, too.
  void poll(std::optional<absl::Duration> timeout) noexcept;

  LentWaits& lent_waits();
  // Of descriptors of others; null when there were none.
  LentWaits* lent_waits_or_null() const noexcept { return lent_.get(); }

  // As long as its descriptor is readable: one for each scheduler. Throws std::system_error.
  void set_watcher(int descriptor, ReadinessWatcher& watcher);
  void remove_watcher(int descriptor) noexcept;

  // While one is alive a fiber waits for a descriptor.
  class Waiting {
   public:
    explicit Waiting(Poller& poller) noexcept : core_(poller.core_) { begin_wait(core_); }
    ~Waiting() { end_wait(core_); }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;

   private:
    SchedulerCore& core_;
  };

  // The same for who has no such scope.
  static void begin_wait(SchedulerCore& core) noexcept { core.add_io_waits(1); }
  static void end_wait(SchedulerCore& core) noexcept { core.add_io_waits(-1); }

  // In the child of a fork(), before it goes: nobody waits any more, and the kernel's list of the parent's stays as it is.
  void leave_behind() noexcept;

  // Of a thread that a child of fork() does not have.
  bool is_left_behind() const noexcept { return born_.is_left_behind(); }

  SchedulerCore& core() const noexcept { return core_; }

 private:
  friend class Readiness;

  // False when the kernel says that such a descriptor is always ready.
  bool add(int descriptor, std::uint32_t events, void* whom);
  void change(int descriptor, std::uint32_t events, void* whom);
  void remove(int descriptor) noexcept;
  int wait(epoll_event* events, int room, std::optional<absl::Duration> timeout) noexcept;

  SchedulerCore& core_;
  const mothreads::internal::Born born_;
  int epoll_ = -1;
  mothreads::internal::LinkedList<Registered, &Registered::previous, &Registered::next> registered_;
  std::unique_ptr<LentWaits> lent_;
  ReadinessWatcher* watcher_ = nullptr;
  struct Events;
  const std::unique_ptr<Events> events_;  // not on the stack of whichever fiber asks: it would stay in memory there
  bool has_precise_wait_ = true;  // epoll_pwait2, Linux 5.11
};

// Throws mothreads::Misuse in a testing::World, where descriptors are not for.
inline void check_world(SchedulerCore& core) {
  if (core.simulation() != nullptr) [[unlikely]] refuse_world();
}

}  // namespace cooperative::internal
