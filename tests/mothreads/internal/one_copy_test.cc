// A process has one copy of the library: see mothreads/internal/one_copy.cc.

#include <csignal>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/program.h"

namespace mothreads::inline v0 {
namespace {

using ::testing::ContainsRegex;
using testing::Program;

const std::string kPrograms = "tests/mothreads/programs/";

TEST(OneCopyTest, AProgramWithACopyIsAlone) {
  Program program("copies_program", {});
  EXPECT_EQ(program.wait(), 0);
  EXPECT_EQ(program.output(), "0 loaded\n");
}

TEST(OneCopyTest, AModuleWithASecondCopyIsRefusedByTheNamesOfBoth) {
  Program program("copies_program", {kPrograms + "libcopy_of_its_own.so"});
  EXPECT_EQ(program.wait(), -SIGABRT);
  EXPECT_THAT(program.output(),
              ContainsRegex("^mothreads: two copies of the library are in this process, one in [^ ]*/copies_program, one in "
                            "[^ ]*/libcopy_of_its_own.so: link the program and the module with the shared object, libmothreads.so\n$"));
}

TEST(OneCopyTest, ModulesAndAProgramWithTheSharedObjectHaveOne) {
  Program program("shared_program", {kPrograms + "libshared_copy.so"});
  EXPECT_EQ(program.wait(), 0);
  EXPECT_EQ(program.output(), "all is shared; unloaded\n");
}

TEST(OneCopyTest, AModuleWithTheSharedObjectIsRefusedByAProgramWithout) {
  Program program("copies_program", {kPrograms + "libshared_copy.so"});
  EXPECT_EQ(program.wait(), -SIGABRT);
  EXPECT_THAT(program.output(), ContainsRegex("one in [^ ]*/copies_program, one in [^ ]*/libmothreads.so: link the program and the module"));
}

}  // namespace
}  // namespace mothreads
