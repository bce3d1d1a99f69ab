#pragma once

// The main thread's place in the shutdown tree: the parent of what it starts, and of threads that the library does not know. Of the program,
// or of a simulation, which has one of its own.

#include <memory>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "mothreads/end_record.h"
#include "mothreads/internal/base/tiny_mutex.h"
#include "mothreads/internal/tree/node.h"
#include "mothreads/signal.h"

namespace mothreads::inline v0::internal {

class Drain;

class MainNode : public Node {
 public:
  // The program's: its drain is that of the process.
  MainNode(std::string_view name, Signal please_stop, Clock& clock);
  // A simulation's, whose drain may take so long; zero for none.
  MainNode(std::string_view name, Signal please_stop, Clock& clock, absl::Duration drain);

  MemberKind kind() const override { return MemberKind::main; }

  bool child_failed(const EndRecord& end) override;
  std::vector<EndRecord> take_failures();

  // Goes when the stop is announced, at the latest before anybody is told to stop.
  const Signal& draining() const { return draining_; }
  Drain& drain() const noexcept;

 protected:
  ~MainNode() override;

 private:
  void begins_to_stop() override;

  const Signal draining_;
  const std::unique_ptr<Drain> own_drain_;
  TinyMutex failures_mutex_;
  std::vector<EndRecord> failures_ ABSL_GUARDED_BY(failures_mutex_);
};

}  // namespace mothreads::internal
