// A signal to a forked child ends it, and not its parent.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mothreads/main_thread.h"
#include "mothreads/signal.h"

namespace mothreads::inline v0 {
namespace {

TEST(ForkSignalTest, SignalToTheChildDoesNotStopTheParent) {
  const int code = MainThread::run([](Signal please_stop) {
    const pid_t child = fork();
    if (child == 0) {
      for (;;) pause();
    }
    kill(child, SIGTERM);
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status));
    EXPECT_EQ(WTERMSIG(status), SIGTERM);
    EXPECT_FALSE(please_stop);
  });
  EXPECT_EQ(code, 0);
  EXPECT_EQ(MainThread::stop_signal(), 0);
}

}  // namespace
}  // namespace mothreads
