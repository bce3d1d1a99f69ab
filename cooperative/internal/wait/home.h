#pragma once

// To which scheduler a thing belongs that only its fibers may use.

#include <cstdint>
#include <string_view>

#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/internal/wait/label.h"
#include "mothreads/internal/wait/wait.h"
#include "mothreads/until.h"

namespace cooperative::inline v0::internal {

class Home {
 public:
  // That of the calling thread, which gets one if it has none.
  Home() : core_(&SchedulerCore::current()), life_(core_->life()) {}

  // Throws Misuse, before anything changes, when another thread calls.
  void check(const char* what) const {
    if (!is_here()) [[unlikely]] refuse(what);
  }

  // Whether this is its thread. Not the pointer says so: cores are recycled.
  bool is_here() const noexcept { return SchedulerCore::is_current(life_); }
  // Any thread may ask.
  bool has_ended() const noexcept { return !core_->lives(life_); }
  SchedulerCore& core() const { return *core_; }

 private:
  [[noreturn]] void refuse(const char* what) const;

  SchedulerCore* core_;
  std::uint64_t life_;
};

// Whether the fiber of that number runs.
inline bool is_running(std::uint64_t id) {
  const FiberBlock* fiber = SchedulerCore::current().running_fiber();
  return fiber != nullptr && fiber->id == id;
}

// "Timed out waiting for OBJECT", "Stopped waiting for OBJECT"; `details` follow.
[[noreturn]] void throw_wait_ended(std::string_view object, mothreads::Why why, std::string_view details = {});

// throw_wait_ended() for an object that may have a name.
[[noreturn]] void throw_wait_ended(const Label& label, const char* kind, mothreads::Why why);

// Nothing may wait for what goes away.
void check_nobody_waits(const mothreads::internal::WaitList& waiters, const char* what, const Label& label) noexcept;

}  // namespace cooperative::internal
