// A forked child has none of the library's threads: it ends as if there were no library, and leaves its parent alone.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/time/time.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "mothreads/till.h"

namespace mothreads {
namespace {

int status_of(pid_t child) {
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return status;
}

TEST(Fork, ChildMayExitWhileThreadsRun) {
  Till pending(absl::Hours(1));  // so that there is a timer thread, too
  Signal running;
  auto thread = Thread::run("busy", [&](Signal please_stop) {
    running.go();
    please_stop.wait();
  });
  running.wait();
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) std::exit(7);
  const int status = status_of(child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

}  // namespace
}  // namespace mothreads
