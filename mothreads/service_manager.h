#pragma once

// Tells the process that has started this one, systemd most often, how it is: the protocol of sd_notify(3), without a library.
//
//     int main() {
//       ServiceManager manager;                                   // first: it takes variables out of the environment
//       return MainThread::run([&](Signal please_stop) {
//         const co::Watchdog watchdog(manager);                   // WATCHDOG=1 as long as this scheduler runs (cooperative/watchdog.h)
//         auto server = co::serve_tcp(address, serve);
//         manager.ready();                                        // READY=1; from now on STOPPING=1 follows by itself
//         please_stop.wait();
//       }, {.drain = absl::Seconds(30)});
//     }
//
// The constructor takes NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID out of the environment, so that no child inherits them: what a child said
// would be taken for this process's. For that reason it is made once, in main(), before there are threads that use the environment. A
// second one finds no variables, and tells nobody. Without the variables, as in a shell, nothing is told, and every verb gives `closed`.
//
// NOTIFY_SOCKET is a path, or a name that begins with "@" for Linux's namespace of names that are no files. Anything else is logged and not used.
//
// Blocking: no verb but ready(). Failure: a manager that is not there (any more) is a warning in the log, once, and `closed`; one that does not
// read is `full`. Neither is thrown: a service goes on without its manager. Each verb allocates.
//
// In a child of fork() it tells nobody. Thread safety: every member may be called from any thread or fiber.

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "mothreads/posted.h"
#include "mothreads/signal.h"
#include "mothreads/until.h"

namespace mothreads::inline v0 {

class ServiceManager {
 public:
  // systemd reads no more of one message.
  static constexpr std::size_t kMaxMessage = 4096;

  // Throws std::system_error when there can be no socket.
  ServiceManager();
  // STOPPING=1 no longer follows a stop.
  ~ServiceManager();
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;

  // Whether there is somebody to tell.
  bool is_there() const;

  // READY=1: the service has started. From the first call on stopping() is called when MainThread::draining() goes, so at the latest with the
  // stop; call it inside MainThread::run(). Waits while the manager does not read, which suspends only the fiber that calls, and throws Timedout
  // or Stopped when the limit comes first.
  Posted ready(const Until& until = {});
  // STOPPING=1.
  Posted stopping();
  // STATUS=..., one line for people. Control characters are escaped ("\n"), and what is longer than a message is cut.
  Posted status(std::string_view text);
  // Any assignments of the protocol, "NAME=value", one a line. Throws Misuse for none, and for more than kMaxMessage bytes.
  Posted tell(std::string_view assignments);

  // How long the manager waits for WATCHDOG=1 before it takes the service for hung. Nothing when it does not watch this process.
  std::optional<absl::Duration> watchdog_interval() const;
  // WATCHDOG=1. Once in half the interval is the usual.
  Posted feed_watchdog();

 private:
  class Line;

  const std::shared_ptr<Line> line_;
  std::atomic<bool> follows_stop_{false};
  std::optional<Signal> draining_;  // these two are written once, by whoever has set the flag
  ThenId then_;
};

}  // namespace mothreads
