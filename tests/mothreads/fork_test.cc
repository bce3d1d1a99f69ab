// What a child of fork() may do: everything, from a clean state. docs/process_edges.md has the contract.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "absl/time/time.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "mothreads/till.h"
#include "tests/support/program.h"

namespace mothreads::inline v0 {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

int status_of(pid_t child) {
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return status;
}

TEST(ForkTest, ChildMayExitWhileThreadsRun) {
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

// What the program said, when it has ended well.
std::string output_of(const char* scenario) {
  return testing::output_of("fork_program", {scenario});
}

int times(const std::string& text, const std::string& part) {
  int count = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(ForkTest, AChildMayRunAServiceAfterItsParentHasLogged) {
  EXPECT_THAT(output_of("service"), AllOf(HasSubstr("[main] in the child\n"), HasSubstr("child: exit 0\n")));
}

TEST(ForkTest, ALineOfAChildIsFlushed) {
  const std::string output = output_of("flush");
  EXPECT_THAT(output, AllOf(HasSubstr("] in the child\n"), HasSubstr("child: exit 0\n")));
  EXPECT_EQ(times(output, "starting"), 1);
}

TEST(ForkTest, ATillOfAChildGoes) {
  EXPECT_THAT(output_of("till"), AllOf(HasSubstr("the till has gone\n"), HasSubstr("child: exit 0\n")));
}

// Joined there, it says why not; stopped, released or destroyed, nothing is waited for.
TEST(ForkTest, HandlesThatGoOutOfScopeInAChildWaitForNobody) {
  EXPECT_EQ(output_of("handles"),
            "not alive\n"
            "thread \"thread\" runs in the process that made this one by fork(), which alone can join it\n"
            "child: exit 0\n"
            "alive\n");
}

TEST(ForkTest, AnExceptionInAChildPassesTheParentsHandles) { EXPECT_EQ(output_of("throws"), "in the child\nchild: exit 5\n"); }

// The thread that forks is the child's main thread; with its function the child ends, in order.
TEST(ForkTest, AThreadThatForksIsTheChildsMainThread) {
  EXPECT_EQ(output_of("thread"), "main has 0 children\ntold to stop\nchild: exit 0\n");
}

// By the name that it has there; to those who waited before, by the one that it had.
TEST(ForkTest, InAChildTheOwnerOfALockIsTold) { EXPECT_EQ(output_of("lock's owner"), "table: main\nshelf: worker\nchild: exit 0\n"); }

TEST(ForkTest, AThreadThatForksAndThrowsInTheChildGivesItAnExitCode) {
  EXPECT_THAT(output_of("thread throws"),
              AllOf(HasSubstr("Problem in thread \"worker\", which nobody joined: no bread\n"), HasSubstr("child: exit 111\n")));
}

TEST(ForkTest, AThreadThatTheLibraryDoesNotKnowMayFork) { EXPECT_THAT(output_of("unknown thread"), HasSubstr("child: exit 3\n")); }

TEST(ForkTest, AForeignThreadMayForkInItsScope) {
  EXPECT_THAT(output_of("foreign thread"),
              AllOf(HasSubstr("child:\n"), HasSubstr("[main] in the scope\n"), HasSubstr("child, in another scope:\n"),
                    HasSubstr("child, another thread: \"the child's driver\"\n"), HasSubstr("[main] behind the scope\n"),
                    HasSubstr("child: exit 3\nparent: \"audio driver\"\nparent:\n")));
}

TEST(ForkTest, AThenFunctionOnAThreadOfTheLibraryMayFork) {
  EXPECT_THAT(output_of("then"), AllOf(HasSubstr("SIGTERM is not blocked\n"), HasSubstr("the child logs\n"), HasSubstr("child: exit 0\n")));
}

TEST(ForkTest, ASinkOfTheLogMayFork) {
  EXPECT_THAT(output_of("sink"), AllOf(HasSubstr("SIGTERM is not blocked\n"), HasSubstr("child: exit 0\n")));
}

TEST(ForkTest, AChildMayReturnPastAQueueThatAThreadOfItsParentWaitsOn) { EXPECT_EQ(output_of("queue"), "child: exit 0\n"); }

TEST(ForkTest, InsideRunAChildEndsWithTheFunction) { EXPECT_EQ(output_of("inside run"), "child: exit 4\nnot told to stop\n"); }

TEST(ForkTest, AChildIsStoppedBySigtermAndItsParentIsNot) {
  EXPECT_THAT(output_of("SIGTERM"), AllOf(HasSubstr("the child stops\n"), HasSubstr("child: exit 6\nnot told to stop\n")));
}

TEST(ForkTest, AChildMayForkAgain) {
  const std::string output = output_of("grandchild");
  EXPECT_THAT(output, HasSubstr("child: exit 2\n"));
  EXPECT_THAT(output, HasSubstr("child: exit 1\n"));
  for (const char* line : {"the parent logs", "the child logs", "the grandchild logs", "the child again logs", "the parent again logs"}) {
    EXPECT_EQ(times(output, line), 1) << line << "\n" << output;
  }
}

TEST(ForkTest, AChildMayRunAnotherProgram) { EXPECT_EQ(output_of("exec"), "executed\nchild: exit 9\n"); }

TEST(ForkTest, HoldsOfTheParentDoNotHoldUpTheDrainOfAChild) {
  EXPECT_EQ(output_of("drain"), "draining\nnot told to stop\ntold to stop\nchild: exit 0\nnot draining\n");
}

TEST(ForkTest, FunctionsOfAThreadsEndMayFork) {
  EXPECT_EQ(output_of("thread's end"), "in the child\nchild: exit 0\nin the child\nchild: exit 0\nthe parent goes on\n");
}

TEST(ForkTest, AStopDeadlineOfTheParentIsNoneInTheChildWhichHasItsOwn) {
  EXPECT_THAT(output_of("deadline"), AllOf(HasSubstr("\"stuck\" was told to stop and did not"), HasSubstr("child: exit 113\n"),
                                           Not(HasSubstr("\"slow\" was told to stop"))));
}

}  // namespace
}  // namespace mothreads
