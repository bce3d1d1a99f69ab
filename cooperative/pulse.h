#pragma once

// Wakes those who wait now; remembers nothing. Used on one scheduler's thread alone.

#include "cooperative/internal/home.h"
#include "mothreads/ended.h"
#include "mothreads/until.h"

namespace cooperative {

class Pulse {
 public:
  Pulse() = default;
  ~Pulse() { internal::check_nobody_waits(waiters_, "a Pulse"); }
  Pulse(const Pulse&) = delete;
  Pulse& operator=(const Pulse&) = delete;

  // Waits for the next signal(), always. When the limit comes first throws Timedout.
  void wait(const mothreads::Until& until = {});

  // Wakes all who wait, or the first; never waits.
  void signal();
  void signal_one();

 private:
  internal::Home home_;
  mothreads::internal::WaitList waiters_;
};

}  // namespace cooperative
