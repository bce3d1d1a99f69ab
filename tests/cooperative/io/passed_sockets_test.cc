#include "cooperative/io/passed_sockets.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/program.h"
#include "tests/support/scratch_folder.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::testing::Program;
using mothreads::testing::ScratchFolder;
using ::testing::HasSubstr;

constexpr const char* kProgram = "tests/cooperative/io/programs/passed_program";

// What a program says that is started with sockets, `how` says with what fault.
std::string said(const char* how, int code = 0) {
  const ScratchFolder folder("/tmp");
  Program program(kProgram, {how, folder.path()});
  EXPECT_EQ(program.wait(), code) << program.output();
  return program.output();
}

TEST(PassedSocketsTest, AreServedAndStayWhereTheyAre) {
  EXPECT_EQ(said("start"),
            "web at /socket\n"
            "unknown at a port\n"
            "datagrams at /datagrams\n"
            "3 taken, then 0\n"
            "hello, too\n"
            "hello, too\n"
            "the path is still there\n");
}

TEST(PassedSocketsTest, WithoutANameAreUnknown) {
  EXPECT_THAT(said("few_names"), HasSubstr("web at /socket\nunknown at a port\nunknown at /datagrams\n"));
}

TEST(PassedSocketsTest, OfAnotherProcessAreNotTaken) { EXPECT_EQ(said("for_another"), "0 taken, then 0\n"); }

TEST(PassedSocketsTest, OfNoNumberAreNotTaken) {
  const std::string output = said("wrong_number");
  EXPECT_THAT(output, HasSubstr("LISTEN_FDS=three is no number of descriptors: none is taken"));
  EXPECT_THAT(output, HasSubstr("0 taken, then 0\n"));
}

TEST(PassedSocketsTest, WhatIsNotOpenIsAnError) {
  EXPECT_THAT(said("too_many", 1), HasSubstr("descriptor 6, passed as \"unknown\": cannot take: Bad file descriptor\n"));
}

TEST(PassedSocketsTest, WhatIsNoSocketIsAnError) {
  EXPECT_THAT(said("no_socket", 1), HasSubstr("descriptor 4, passed as \"unknown\": cannot take: Socket operation on non-socket\n"));
}

}  // namespace
}  // namespace cooperative
