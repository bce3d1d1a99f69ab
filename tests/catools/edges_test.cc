// How a process that uses Channel Access ends, stops and forks, and threads with contexts of libca (programs/edges.cc, programs/contexts.cc).

#include <csignal>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/catools/support/source.h"
#include "tests/support/program.h"

namespace catools::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using mothreads::testing::Program;

template <typename Source>
class EdgesTest : public ::testing::Test {};
TYPED_TEST_SUITE(EdgesTest, Sources);

constexpr const char* kProgram = "tests/catools/programs/edges";
constexpr const char* kContexts = "tests/catools/programs/contexts";

TYPED_TEST(EdgesTest, EndsWithEverythingOpen) {
  const TypeParam source;
  for (int i = 0; i < 10; ++i) {
    Program program(kProgram, {"exits", std::string(TypeParam::kPrefix)});
    EXPECT_EQ(program.wait(), 0) << program.output();
    EXPECT_THAT(program.output(), HasSubstr(std::string(TypeParam::kPrefix) + "double: Channel Access has ended with the process"));
  }
}

TYPED_TEST(EdgesTest, APutUnderWayEndsWithTheStop) {
  const TypeParam source("slow.db");
  const std::string prefix(TypeParam::kPrefix);
  Program program(kProgram, {"stops", std::string(TypeParam::kPrefix)});
  program.await_output("under way");
  program.send_signal(SIGINT);
  EXPECT_EQ(program.wait(), 0) << program.output();
  EXPECT_THAT(program.output(), HasSubstr("fiber: " + prefix + "slow.PROC: the wait for an answer was stopped"));
  EXPECT_THAT(program.output(), HasSubstr("thread: " + prefix + "slower.PROC: the wait for an answer was stopped"));
}

TYPED_TEST(EdgesTest, TheFunctionOfAPutIsToldThatItsSchedulerEnds) {
  const TypeParam source("slow.db");
  const std::string prefix(TypeParam::kPrefix);
  Program program(kProgram, {"function", prefix});
  EXPECT_EQ(program.wait(), 0) << program.output();
  EXPECT_THAT(program.output(), HasSubstr("thread: " + prefix + "slow.PROC: the wait for an answer was stopped\n"));
  EXPECT_THAT(program.output(), HasSubstr("main: " + prefix + "slower.PROC: the wait for an answer was stopped\n"));
}

TYPED_TEST(EdgesTest, AServerThatIsSilentDoesNotHoldUpTheEnd) {
  TypeParam source;
  Program program(kProgram, {"outlives", std::string(TypeParam::kPrefix)});
  program.await_output("connected");
  source.pause();
  const absl::Time begin = absl::Now();
  program.close_input();
  EXPECT_EQ(program.wait(), 0) << program.output();
  EXPECT_LT(absl::Now() - begin, absl::Seconds(12));  // libca itself would wait for 30 s
  source.kill();
}

TYPED_TEST(EdgesTest, AChildOfForkHasAContextOfItsOwn) {
  const TypeParam source;
  Program program(kProgram, {"forks", std::string(TypeParam::kPrefix)});
  EXPECT_EQ(program.wait(), 0) << program.output();
  EXPECT_THAT(program.output(), HasSubstr("child ended with 0"));
}

TYPED_TEST(EdgesTest, AForkWaitsForTheFirstUseOfAnotherThread) {
  const TypeParam source;
  Program program(kContexts, {"forks", std::string(TypeParam::kPrefix)});
  EXPECT_EQ(program.wait(), 0) << program.output();
}

TYPED_TEST(EdgesTest, AThreadWithAContextOfItsOwnKeepsIt) {
  const TypeParam source;
  Program program(kContexts, {"keeps", std::string(TypeParam::kPrefix)});
  EXPECT_EQ(program.wait(), 0) << program.output();
}

TYPED_TEST(EdgesTest, NobodyComplainsOfAMissingRepeater) {
  const TypeParam source;
  Program program(kProgram, {"forks", std::string(TypeParam::kPrefix)});
  EXPECT_EQ(program.wait(), 0);
  EXPECT_THAT(program.output(), Not(HasSubstr("caRepeater")));
}

}  // namespace
}  // namespace catools::testing
