#pragma once

// The choice of what happens when a member of the shutdown tree has not stopped by its deadline.
//
//     ThreadGroup plugins("plugins", {.stop_limit = absl::Seconds(5), .when_stuck = WhenStuck::mark_lost});
//
// Without a choice the process ends with a report (stopping.h), for nothing can be done for a thread that does not end. A ThreadGroup may choose
// otherwise for all below it: then the log reports each thread that is stuck there, the thread is marked lost, and the stop goes on without
// it. A lost thread still runs, so it must own all that it uses: nobody waits for it any more, and what others lent it may go. Its `stopped`
// goes when it ends after all, and not before. A join() of it throws WasLost; where nobody takes that, the exit code says that something
// failed. A thread is stuck, too, when one of its fibers is and has not ended in kUnwindGrace after the deadline.
//
// A thread that waits for another which is stuck is given kUnwindGrace to go on, before it is marked, too.

#include <concepts>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "mothreads/end_record.h"
#include "mothreads/internal/base/access.h"

namespace mothreads::inline v0 {

// Waiting for a member that was marked lost.
class WasLost : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A stop that missed its deadline.
class StopReport {
 public:
  StopReport(std::string text, std::vector<EndRecord> lost) : text_(std::move(text)), lost_(std::move(lost)) {}

  const std::string& text() const { return text_; }                   // who has not stopped, what it waits on, and its stack
  const std::vector<EndRecord>& lost() const { return lost_; }        // whom it has marked

 private:
  std::string text_;
  std::vector<EndRecord> lost_;
};

class WhenStuck {
 public:
  enum Choice : std::uint8_t {
    end_process,  // with kExitDidNotStop
    mark_lost,
  };

  WhenStuck(Choice choice = end_process) : choice_(choice) {}  // NOLINT: a choice is written as one
  // mark_lost, and this function is told, once for each round of marking, before those go on who wait for the lost. It runs on a thread of the
  // library's own, on which it must not block. The group's destructor waits for it. Copies of a WhenStuck share it. What it throws is logged.
  template <typename F>
    requires std::invocable<F&, const StopReport&> && (!std::same_as<std::remove_cvref_t<F>, WhenStuck>)
  WhenStuck(F&& function)  // NOLINT: likewise
      : choice_(mark_lost), function_(std::make_shared<Function>(std::forward<F>(function))) {}

  bool ends_process() const { return choice_ == end_process; }
  void tell(const StopReport& report, internal::Access) const;  // for the library

 private:
  using Function = absl::AnyInvocable<void(const StopReport&)>;

  Choice choice_;
  std::shared_ptr<Function> function_;
};

}  // namespace mothreads
