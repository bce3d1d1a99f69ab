#pragma once

// Threads of a test, and one that others post to.

#include <optional>
#include <vector>

#include "cooperative/scheduler.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"

namespace cooperative::testing {

using Threads = std::vector<mothreads::ThreadHandle<void>>;

inline void join(Threads& threads) {
  for (auto& thread : threads) thread.join();
}

// A thread that runs its scheduler until it is stopped.
class Server {
 public:
  Server()
      : thread_(mothreads::Thread::run("server", [this](mothreads::Signal please_stop) {
          scheduler_.emplace(Scheduler::current());
          ready_.go();
          please_stop.wait();
        })) {
    ready_.wait();
  }
  const Scheduler& scheduler() const { return *scheduler_; }
  void end() { thread_.stop().join(); }
  void stop() { thread_.stop(); }

 private:
  std::optional<Scheduler> scheduler_;
  mothreads::Signal ready_;
  mothreads::ThreadHandle<void> thread_;
};

}  // namespace cooperative::testing
