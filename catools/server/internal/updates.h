#pragma once

// The process variables that have something to tell, and have not told it yet: how other threads reach the serving thread.
//
// However many samples and PVs there are, one callback is on its way to the scheduler at a time. Noting a PV needs no memory, so that what a set() has
// stored is told.

#include <cstddef>
#include <memory>
#include <mutex>

#include "catools/server/internal/served_pv.h"
#include "cooperative/handler_callback.h"
#include "cooperative/scheduler.h"
#include "mothreads/internal/base/linked_list.h"

namespace catools::inline v0::internal {

class Updates final {
 public:
  // Any thread. Until begin() a PV waits, after end() it is dropped.
  void note(ServedPv& pv) noexcept;
  // The PV is destroyed.
  void forget(ServedPv& pv) noexcept;

  // The serving thread: from now on it is told, also of what came before.
  void begin(const cooperative::Scheduler& scheduler);
  // A later note is dropped, and no callback runs afterwards. end() waits, too, until none is on its way. Once more changes nothing.
  void drop() noexcept;
  void end();

 private:
  void post() noexcept;
  void tell();

  std::mutex mutex_;
  // A PV that nobody else has any more has nobody to tell: its destructor takes it out.
  mothreads::internal::LinkedList<ServedPv, &ServedPv::previous_noted_, &ServedPv::next_noted_> noted_;
  std::size_t count_ = 0;  // PVs in the list
  std::unique_ptr<cooperative::HandlerCallback> callback_;  // from begin() to end()
  bool is_posted_ = false;
  bool has_ended_ = false;
};

}  // namespace catools::inline v0::internal
