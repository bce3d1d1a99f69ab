// Starts a process that runs for ever, in a group of its own or not, or one after the other, and does not stop when it is asked to.

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "cooperative/io/process.h"
#include "mothreads/main_thread.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"

namespace {

using cooperative::Process;
using mothreads::MainThread;
using mothreads::Signal;
using mothreads::Thread;

}  // namespace

int main(int count, char** arguments) {
  const std::string_view deadline = count == 3 ? arguments[1] : "";
  const std::string_view kind = count == 3 ? arguments[2] : "";
  const bool own_group = kind == "group";
  const auto run = [&](Signal please_stop) {
    Thread::run("stubborn", [&](Signal) {
      std::vector<Process> many;
      while (kind == "many" && many.size() < 500) {
        many.emplace_back(std::vector<std::string>{"sleep", "1000"});
        if (many.size() == 5) std::puts("runs");
        std::fflush(stdout);
      }
      // With a child of its own, which only a signal to the group reaches. Both write to where the test reads.
      Process child({"sh", "-c", own_group ? "sleep 1000 & echo runs; wait" : "echo runs; exec sleep 1000"}, {.own_group = own_group});
      Signal("the answer that never comes").wait();
    }).release();
    please_stop.wait();
    return 0;
  };
  return MainThread::run(run, {.stop_deadline = deadline == "short" ? absl::Milliseconds(50) : absl::InfiniteDuration()});
}
