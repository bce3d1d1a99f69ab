#pragma once

// Feeds the service manager's watchdog from a fiber, so that it is fed as long as this thread's scheduler really runs.
//
//     const co::Watchdog watchdog(manager);                                                  // before the server: it ends after that
//     const co::Watchdog careful(manager, {.is_well = [&] { return database.answers(); }});
//
// The fiber feeds it in its first turn, and then twice in each interval. A fiber of this thread that neither ends nor waits keeps it from its turn: then
// the manager hears nothing, and does what it was configured to do, as systemd's WatchdogSec= and Restart=. Other threads are not
// watched, unless `is_well` looks at them.
//
// It feeds through a drain and an orderly stop, too, until it is destroyed, since those may take longer than the interval: make it before what
// takes time to end, in the same scope. At the stop deadline its fiber is cancelled like any other. Where nobody watches (ServiceManager::watchdog_interval() is
// nothing) it does nothing, and has no fiber.
//
// A program without fibers calls ServiceManager::feed_watchdog() from the loop that must go on.
//
// Blocking: the destructor ends the fiber and waits for it, so for an `is_well` that waits. Thread safety: made and destroyed by fibers of one
// thread. It borrows the manager.

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "cooperative/fiber.h"
#include "mothreads/service_manager.h"
#include "mothreads/signal.h"

namespace cooperative::inline v0 {

struct WatchdogOptions {
  // Asked before each feeding, in the fiber; while it is false the watchdog is not fed. What it throws is false, and both are logged when
  // they begin.
  absl::AnyInvocable<bool()> is_well = nullptr;
};

class [[nodiscard]] Watchdog {
 public:
  [[nodiscard]] explicit Watchdog(mothreads::ServiceManager& manager, WatchdogOptions options = {});
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  void run(absl::Duration pause);
  bool is_well();

  mothreads::ServiceManager& manager_;
  WatchdogOptions options_;
  bool was_well_ = true;
  const mothreads::Signal ended_{"the end of the watchdog"};
  Fiber<void> fiber_;
};

}  // namespace cooperative
