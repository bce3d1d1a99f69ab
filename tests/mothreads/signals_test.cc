// A service can be stopped by SIGTERM however it was started, and leaves alone what it was told to ignore.

#include <gtest/gtest.h>
#include <signal.h>

#include "tests/support/program.h"

namespace mothreads::inline v0 {
namespace {

using testing::Program;

TEST(SignalsTest, WhereBothWereBlockedTheFirstStopsTheProgram) {
  for (const int number : {SIGTERM, SIGINT}) {
    Program program("signals_program", {"blocked", "run"});
    program.await_output("waiting\n");
    program.send_signal(number);
    EXPECT_EQ(program.wait(), 0);
    EXPECT_NE(program.output().find(number == SIGTERM ? "stopped by TERM\n" : "stopped by INT\n"), std::string::npos) << program.output();
  }
}

// A supervisor that stops what it has just started.
TEST(SignalsTest, OneThatWasPendingAtTheStartStopsTheProgramInOrder) {
  Program program("signals_program", {"SIGTERM pending", "run"});
  EXPECT_EQ(program.wait(), 0);
  EXPECT_NE(program.output().find("stopped by TERM\n"), std::string::npos) << program.output();
}

TEST(SignalsTest, AnIgnoredSigintStaysIgnored) {
  Program program("signals_program", {"SIGINT ignored", "run"});
  program.await_output("waiting\n");
  program.send_signal(SIGINT);
  program.send_signal(SIGTERM);
  EXPECT_EQ(program.wait(), 0);
  EXPECT_NE(program.output().find("stopped by TERM\n"), std::string::npos) << program.output();
  EXPECT_EQ(program.output().find("SIGINT"), std::string::npos) << program.output();
}

TEST(SignalsTest, AnIgnoredSigintStaysIgnoredAfterARun) {
  Program program("signals_program", {"SIGINT ignored", "run twice"});
  program.await_output("waiting\n");
  program.send_signal(SIGINT);
  program.send_signal(SIGTERM);
  EXPECT_EQ(program.wait(), 0);
  EXPECT_NE(program.output().find("SIGINT is ignored\n"), std::string::npos) << program.output();
  EXPECT_NE(program.output().find("stopped by TERM\n"), std::string::npos) << program.output();
}

TEST(SignalsTest, AnIgnoredSigtermIsTaken) {
  Program program("signals_program", {"SIGTERM ignored", "run"});
  program.await_output("waiting\n");
  program.send_signal(SIGTERM);
  EXPECT_EQ(program.wait(), 0);
  EXPECT_NE(program.output().find("stopped by TERM\n"), std::string::npos) << program.output();
}

// The library's own threads block all signals; what the program starts there does not inherit that.
TEST(SignalsTest, AThreadStartedInAThenFunctionHasTheProgramsMask) {
  Program program("signals_program", {"unchanged", "masks"});
  EXPECT_EQ(program.wait(), 0);
  EXPECT_EQ(program.output(), "not blocked\n");
}

}  // namespace
}  // namespace mothreads
