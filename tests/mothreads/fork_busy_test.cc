// fork() while other threads are in the middle of everything that the library keeps mutexes for.

#include <gtest/gtest.h>

#include "tests/support/program.h"

namespace mothreads::inline v0 {
namespace {

using testing::Program;

TEST(ForkBusyTest, NoMutexOfTheLibraryStaysLockedInAChild) {
  Program program("fork_program", {"busy"});
  EXPECT_EQ(program.wait(), 0) << program.output();
  EXPECT_EQ(program.output(), "40 of 40 children were good\n");
}

}  // namespace
}  // namespace mothreads
