#pragma once

// The process variables that have something to tell, and have not told it yet: how other threads reach the serving thread.
//
// However many samples and PVs there are, one callback is on its way to the scheduler at a time.

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "cooperative/scheduler.h"

namespace catools::inline v0::internal {

class ServedPv;

class Updates final : public std::enable_shared_from_this<Updates> {
 public:
  // Any thread.
  void note(const std::shared_ptr<ServedPv>& pv);

  // The serving thread: from now on it is told, also of what came before.
  void begin(const cooperative::Scheduler& scheduler);
  // A later note is dropped. end() waits, too, until no callback is on its way.
  void drop();
  void end();

 private:
  void post(const cooperative::Scheduler& scheduler);
  void tell();

  std::mutex mutex_;
  std::vector<std::weak_ptr<ServedPv>> noted_;  // one that nobody else has any more has nobody to tell
  std::optional<cooperative::Scheduler> scheduler_;
  bool is_posted_ = false;
  bool has_ended_ = false;
};

}  // namespace catools::inline v0::internal
