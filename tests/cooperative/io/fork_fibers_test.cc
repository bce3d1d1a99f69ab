// fork() where there are fibers: who has called it goes on in the child, as its only one, and the parent notices nothing.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/program.h"

namespace cooperative::inline v0 {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string output_of(const std::vector<std::string>& arguments) {
  return mothreads::testing::output_of("tests/cooperative/io/programs/fork_fibers_program", arguments);
}

TEST(ForkFibersTest, TheOthersAreLeftBehindByAThreadThatForks) {
  EXPECT_EQ(output_of({"wait"}),
            "not alive\n"
            "fiber \"waits\" runs in the process that made this one by fork(), which alone can join it\n"
            "the child has used fibers\n"
            "not begun in the child\n"
            "child: exit 0\n"
            "begun\n");
}

TEST(ForkFibersTest, AFiberThatForksIsTheChildsMainThread) {
  EXPECT_EQ(output_of({"fiber"}),
            "FiberGroup \"group\" was made before a fork(), and its members are in the parent: join it there\n"
            "the child has used fibers\n"
            "the fiber, too\n"
            "told to stop\n"
            "child: exit 0\n"
            "the parent goes on\n");
}

TEST(ForkFibersTest, AFiberThatThrowsInTheChildGivesItAnExitCode) {
  EXPECT_THAT(output_of({"fiber throws"}),
              AllOf(HasSubstr("Problem in fiber \"forks\", which nobody joined: no bread\n"), HasSubstr("child: exit 111\n")));
}

TEST(ForkFibersTest, AFiberMayExitInTheChild) { EXPECT_EQ(output_of({"fiber exits"}), "child: exit 3\nchild: exit 4\n"); }

TEST(ForkFibersTest, AHelperOfInParallelMayFork) {
  EXPECT_EQ(output_of({"in_parallel"}), "the child has used fibers\nchild: exit 0\nthe parent goes on\n");
}

TEST(ForkFibersTest, AFiberOfAnotherThreadMayFork) {
  EXPECT_EQ(output_of({"thread's fiber"}), "the child has used fibers\nchild: exit 0\n");
}

TEST(ForkFibersTest, AChildThatClosesItsCopyOfASocketDoesNotSilenceItsParent) {
  EXPECT_EQ(output_of({"socket"}), "child: exit 0\nstill heard\n");
}

TEST(ForkFibersTest, AChildThatStopsItsCopyOfAServerLeavesItsParentsAlone) {
  EXPECT_EQ(output_of({"server"}), "child: exit 0\nthe path is there\nserved\nthe path is gone\n");
}

// Those that rest, and those that are served.
TEST(ForkFibersTest, ConnectionsStayTheirParents) {
  EXPECT_EQ(output_of({"connections"}), "a\nchild: exit 0\na session ends\nbye\nwait\na session ends\n");
}

TEST(ForkFibersTest, AProcessStaysItsParents) { EXPECT_EQ(output_of({"process"}), "refused\nchild: exit 0\nstill there\n"); }

TEST(ForkFibersTest, PoolsQueuesAndTimersStayBehind) {
  EXPECT_EQ(output_of({"left behind"}),
            "the pool \"pool\" was made in the process that made this one by fork(), where its threads are: make another here\n"
            "0 calls of the parent's timer\n"
            "the child has used fibers\n"
            "child: exit 0\n"
            "1 call\n");
}

TEST(ForkFibersTest, ACallOfAPoolThatForksEndsTheChild) { EXPECT_EQ(output_of({"pool"}), "the second call\nchild: exit 0\n"); }

TEST(ForkFibersTest, ACallbackThatForksEndsTheChild) {
  EXPECT_EQ(output_of({"callbacks"}),
            "child: exit 0\nthe second callback of the queue\nchild: exit 0\nthe second callback of the scheduler\n");
}

TEST(ForkFibersTest, AHandlerOfRequestsThatForksAnswersInTheParentAlone) {
  EXPECT_EQ(output_of({"handler"}), "child: exit 0\nanswered once\n");
}

TEST(ForkFibersTest, AFunctionOfAnUpgradeThatForksGoesOnInTheParentAlone) {
  const std::string of_a_websocket = "child: exit 0\na\nchild: exit 0\nb\n";
  EXPECT_EQ(output_of({"upgrades"}), of_a_websocket + of_a_websocket + "child: exit 0\nupgraded\nand closed\n");
}

TEST(ForkFibersTest, NothingOfAChildGoesToAFiberOfAnotherThreadOfItsParent) {
  EXPECT_EQ(output_of({"other's waiter"}), "7 in the child\nchild: exit 0\n8 in the parent\n");
}

TEST(ForkFibersTest, FunctionsOfAFibersEndMayFork) {
  EXPECT_EQ(output_of({"fiber's end"}), "in the child\nchild: exit 0\nin the child\nchild: exit 0\nthe parent goes on\n");
}

TEST(ForkFibersTest, AFiberOnItsWayIntoALockDoesNotKeepTheChildOut) {
  EXPECT_EQ(output_of({"lock"}), "the child is inside\nchild: exit 0\nthe parent's fiber is inside\n");
}

TEST(ForkFibersTest, TheSchedulerOfAnotherThreadHasEndedInTheChild) {
  EXPECT_EQ(output_of({"other scheduler"}),
            "ended\ncallback_result() on a scheduler that has ended\nchild: exit 0\n1 result\n");
}

TEST(ForkFibersTest, ParentAndChildrenWaitForDescriptorsOfTheirOwn) {
  EXPECT_EQ(output_of({"both"}),
            "the parent has used fibers\n"
            "the child has used fibers\n"
            "the grandchild has used fibers\n"
            "child: exit 2\n"
            "child: exit 1\n"
            "the parent has used fibers\n");
}

}  // namespace
}  // namespace cooperative
