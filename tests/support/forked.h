#pragma once

// For programs that fork: what became of the child, as a line of output. A child that hangs is killed.

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "mothreads/signal.h"
#include "mothreads/till.h"

namespace mothreads::inline v0::testing {

// One write for each line: processes share the output.
inline void say(std::string_view line) {
  const std::string whole = std::string(line) + "\n";
  [[maybe_unused]] const ssize_t written = write(STDOUT_FILENO, whole.data(), whole.size());
}

// In the child, first: as the watchdog of tests.
inline void limit_child() { alarm(60); }

inline std::string end_of(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) != child) {
  }
  return WIFSIGNALED(status) ? "signal " + std::to_string(WTERMSIG(status)) : "exit " + std::to_string(WEXITSTATUS(status));
}

inline void say_end_of(pid_t child) { say("child: " + end_of(child)); }

// Forks, and calls `in_child` there; what that returns is the exit code.
template <typename F>
pid_t fork_and(F&& in_child) {
  const pid_t child = fork();
  if (child != 0) return child;
  limit_child();
  std::exit(in_child());
}

// Forks, and goes on in both: the child says that it is there, the parent how the child ended.
inline void fork_and_say() {
  const pid_t child = fork();
  if (child != 0) return say_end_of(child);
  limit_child();
  say("in the child");
}

// Calls it in a then() function on the library's thread for timers. A Till that is late is over before it has a function, and calls it here:
// then another is tried.
template <typename F>
void call_on_timer_thread(F act) {
  bool is_done = false;
  while (!is_done) {
    const pid_t maker = gettid();
    const Signal ended;
    Till(absl::Milliseconds(5)).then([&, ended] {
      is_done = gettid() != maker;
      if (is_done) act();
      ended.go();
    });
    ended.wait();
  }
}

}  // namespace mothreads::testing
