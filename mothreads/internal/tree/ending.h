#pragma once

// How a node ended, or that it was marked lost: its end record, and what a loss wakes.

#include <optional>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "mothreads/end_record.h"
#include "mothreads/instant.h"
#include "mothreads/internal/base/tiny_mutex.h"
#include "mothreads/signal.h"

namespace mothreads::inline v0::internal {

class Ending {
 public:
  Ending() = default;
  Ending(const Ending&) = delete;
  Ending& operator=(const Ending&) = delete;

  // As the node joins the tree for the first time. Whether it may be lost is not changed later.
  bool has_begun() const { return began_ != Instant(); }
  void begin(Instant now, bool may_be_lost, std::string_view name);
  Instant began() const { return began_; }

  bool may_be_lost() const { return lost_.has_value(); }
  bool is_lost() const { return lost_ && *lost_; }  // also when it has ended since
  // Goes when it is marked lost; NEVER where nobody above has chosen that.
  const Signal& lost() const { return lost_ ? *lost_ : NEVER; }
  // False when it has ended, or is lost.
  bool note_loss(const EndRecord& record);
  bool was_noted_lost() const;
  void tell_of_loss() const { lost_->state(kAccess).go(); }

  void publish(const EndRecord& record);
  // Of its end, and of no loss.
  bool is_over() const;
  std::optional<EndRecord> record() const;

 private:
  std::optional<Signal> lost_;  // where one above has chosen that
  Instant began_;
  mutable TinyMutex mutex_;
  std::optional<EndRecord> record_ ABSL_GUARDED_BY(mutex_);
  bool is_over_ ABSL_GUARDED_BY(mutex_) = false;
  bool was_noted_lost_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace mothreads::internal
