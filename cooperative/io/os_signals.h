#pragma once

// Signals of the operating system, for fibers.
//
//     co::OsSignal reload(SIGHUP);
//     while (reload.wait(please_stop)) read_configuration();
//
// Each delivery is counted, and ends one wait, also one that begins later. (The system itself makes one delivery of two that come before the
// first has been delivered; real-time signals it counts.) Whoever is first in the process to ask for a signal has it; the handler that was
// there, or none, is back when the OsSignal goes.
//
// Why a handler, which adds to an eventfd, and not a signalfd: that needs the signal blocked in every thread of the process, also those that
// others make, and in all that have begun before; and processes that are started inherit the mask. A handler needs no mask, and ends with exec().
//
// SIGINT and SIGTERM are MainThread's where it takes signals (mothreads/main_thread.h): they make please_stop go.
//
// Which thread: see descriptor.h. Several fibers may wait; a delivery goes to the first.

#include <string>

#include "cooperative/io/descriptor.h"
#include "mothreads/ended.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {

class [[nodiscard]] OsSignal {
 public:
  // Takes it from now on. Throws mothreads::Misuse when something else in the process handles it, when it cannot be handled, or when it tells of
  // a fault of the program, as SIGSEGV does; IoError.
  [[nodiscard]] explicit OsSignal(int number);
  OsSignal(const OsSignal&) = delete;
  OsSignal& operator=(const OsSignal&) = delete;
  // Deliveries that nobody has waited for are dropped.
  ~OsSignal();

  // Waits for a delivery, and takes it. Throws Closed when it is closed meanwhile.
  mothreads::Ended wait(const mothreads::Until& until = {});
  // Fibers that wait end by Closed; the signal is again what it was.
  void close();

  int number() const { return number_; }
  std::string name() const;
  // Readable when one was delivered, for wait_for_any(); wait() then takes it.
  Descriptor& descriptor() { return descriptor_; }

 private:
  mothreads::internal::Born born_;
  int number_;
  Descriptor descriptor_;
};

}  // namespace cooperative
