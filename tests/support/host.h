#pragma once

#include <optional>

#include "cooperative/scheduler.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"

namespace cooperative::inline v0::testing {

// A thread, "host", that does nothing but run its scheduler, until it is told to stop.
class Host {
 public:
  Host()
      : thread_(mothreads::Thread::run("host", [this](mothreads::Signal please_stop) {
          scheduler_.emplace(Scheduler::current());
          ready_.go();
          please_stop.wait();
        })) {
    ready_.wait();
  }
  const Scheduler& scheduler() const { return *scheduler_; }
  void stop() { thread_.stop(); }
  void end() { thread_.stop().join(); }

 private:
  std::optional<Scheduler> scheduler_;
  mothreads::Signal ready_;
  mothreads::ThreadHandle<void> thread_;
};

}  // namespace cooperative::testing
