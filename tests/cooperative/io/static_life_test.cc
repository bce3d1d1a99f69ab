// Every public type as a static object, the library before main() and after it, and while threads end: all of it works, or is refused with
// words that are true. Nothing waits for a stop deadline: the programs have one of an hour.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "tests/support/program.h"

namespace cooperative::inline v0 {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string output_of(const char* scenario) {
  setenv("STATIC_LIFE", scenario, 1);
  return mothreads::testing::output_of("tests/cooperative/io/programs/static_life_program", {});
}

TEST(StaticLifeTest, EveryTypeMayBeAStaticObject) {
  EXPECT_EQ(output_of("statics"), "used before main()\nused in main()\nserved\ngone after main()\n");
}

TEST(StaticLifeTest, AfterMainWhatCannotBeAnyMoreIsRefused) {
  EXPECT_THAT(output_of("after main"),
              AllOf(HasSubstr("info [main] after main()\n"), HasSubstr("a signal: done\na till: done\n"),
                    HasSubstr("a thread: \"late thread\" cannot be started under \"main\", which has ended"),
                    HasSubstr("a fiber: \"scheduler of main\" cannot be started under \"main\", which has ended"),
                    HasSubstr("a group: \"late group\" cannot be started under \"main\", which has ended")));
}

TEST(StaticLifeTest, AFiberOfAnEndedThreadIsRefusedAsThat) {
  EXPECT_EQ(output_of("static fiber"),
            "a join after main(): fiber \"kept\" was used after the end of its thread: join or release it there before\n");
}

TEST(StaticLifeTest, DestructorsOfThreadLocalsMayUseFibers) {
  EXPECT_EQ(output_of("thread_local"),
            "the younger cache has been flushed\n"
            "the older cache has been flushed\n"
            "the worker has ended\n"
            "the younger cache has been flushed\n"
            "the older cache has been flushed\n"
            "the unknown thread has ended\n"
            "the younger cache has been flushed\n"
            "the older cache has been flushed\n");
}

TEST(StaticLifeTest, FunctionsOfOlderAndYoungerKeysMayUseFibers) {
  EXPECT_THAT(output_of("keys"), HasSubstr("older key has flushed\n"
                                           "younger key has flushed\n"
                                           "older key has flushed\n"
                                           "younger key has flushed\n"));
}

TEST(StaticLifeTest, APthreadCancelThatMeetsACancellationPointInAFiberIsNamed) {
  EXPECT_EQ(output_of("pthread_cancel"), "fiber \"f\" was ended by pthread_exit() or pthread_cancel(): let its function return\n");
}

}  // namespace
}  // namespace cooperative
