// Ends of threads with fibers that ThreadSanitizer has no room for: code in the last round of a thread's end, and pthread_exit() in a fiber.

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

TEST(FibersThreadEndTest, InTheLastRoundOfAThreadsEndFibersAreRefused) {
  EXPECT_THAT(output_of("last key"), ::testing::MatchesRegex("a fiber: done\n"
                                                             "a fiber: done\n"
                                                             "a fiber: done\n"
                                                             "a fiber: \"[^\"\n]*\" cannot have fibers any more: its thread has ended[^\n]*\n"));
}

TEST(FibersThreadEndTest, PthreadExitEndsTheFiberAlone) {
  EXPECT_THAT(output_of("pthread_exit"),
              AllOf(HasSubstr("unwound\nfiber \"f\" was ended by pthread_exit() or pthread_cancel(): let its function return\nthe thread goes on\n"
                              "fiber \"of main\" was ended by pthread_exit() or pthread_cancel(): let its function return\n"),
                    HasSubstr("main goes on\n")));
}

}  // namespace
}  // namespace cooperative
