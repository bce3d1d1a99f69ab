#pragma once

// To which scheduler a thing belongs that only its fibers may use.

#include <cstdint>

#include "cooperative/internal/scheduler_core.h"
#include "mothreads/contexts/wait.h"
#include "mothreads/until.h"

namespace cooperative::internal {

class Home {
 public:
  // That of the calling thread, which gets one if it has none.
  Home() : core_(&SchedulerCore::current()) {}

  // Throws Misuse, before anything changes, when another thread calls.
  void check(const char* what) const {
    if (!core_->is_its_thread()) [[unlikely]] refuse(what);
  }

 private:
  [[noreturn]] static void refuse(const char* what);

  SchedulerCore* core_;
};

// A wait for something at home.
class WaitAtHome : public mothreads::internal::Wait {
 public:
  explicit WaitAtHome(const char* verb)
      : Wait({verb, nullptr, nullptr}, Spin::no, mothreads::internal::Context::Reach::host) {}

  mothreads::Why park(const mothreads::Until& until) { return until.is_never() ? park_on_host_for_ever() : Wait::park(until); }
};

// Takes a node out of its list when the wait is over, however it ends.
class Linked {
 public:
  Linked(mothreads::internal::WaitList& list, mothreads::internal::WaitNode& node) : list_(list), node_(node) {
    list_.push_back(node_);
  }
  ~Linked() { list_.remove(node_); }
  Linked(const Linked&) = delete;
  Linked& operator=(const Linked&) = delete;

 private:
  mothreads::internal::WaitList& list_;
  mothreads::internal::WaitNode& node_;
};

// Whether the fiber of that number runs.
inline bool is_running(std::uint64_t id) {
  const FiberBlock* fiber = SchedulerCore::current().running_fiber();
  return fiber != nullptr && fiber->id == id;
}

[[noreturn]] void throw_timed_out(const char* what, mothreads::Why why);

// Nothing may wait for what goes away.
void check_nobody_waits(const mothreads::internal::WaitList& waiters, const char* what) noexcept;

}  // namespace cooperative::internal
