// Handlers of SIGSEGV that a program installs when it has fibers already: stack_use.h says what they owe.

#include <signal.h>
#include <unistd.h>

#include <cstddef>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cooperative/fiber.h"
#include "tests/support/sanitized.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::testing::kSanitized;
using ::testing::AllOf;
using ::testing::ExitedWithCode;
using ::testing::HasSubstr;
using ::testing::KilledBySignal;
using ::testing::Not;

// The handler is once in a process, and so each of these has a process of its own.
class LaterHandlerDeathTest : public ::testing::Test {
 protected:
  LaterHandlerDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

[[gnu::noinline, gnu::no_sanitize_address]] int dive(int depth) {
  volatile char bytes[200];
  bytes[0] = static_cast<char>(depth);
  if (depth == 0) return 0;
  const int deeper = dive(depth - 1);
  asm volatile("" : : "r"(bytes) : "memory");  // else it may become a loop
  return deeper + bytes[0];
}

void overflow() { static_cast<void>(dive(1'000'000)); }

void say(std::string_view text) { static_cast<void>(!write(STDERR_FILENO, text.data(), text.size())); }

struct sigaction replaced {};

// After the first fiber.
void install(int flags, void (*handler)(int, siginfo_t*, void*)) {
  spawn("first", [] {}).join();
  struct sigaction action {};
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | flags;
  sigaction(SIGSEGV, &action, &replaced);
}

void say_and_call_the_one_before(int number, siginfo_t* info, void* context) {
  say("the program's own\n");
  replaced.sa_sigaction(number, info, context);
}

void say_and_exit(int, siginfo_t*, void*) {
  say("the program's own\n");
  _exit(42);
}

// By the signal itself, or by the report of the sanitizer that had its handler there before ours.
bool died_of_the_fault(int status) {
  return kSanitized ? WIFEXITED(status) && WEXITSTATUS(status) != 0 : WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

TEST_F(LaterHandlerDeathTest, OneThatCallsTheOneBeforeHasTheFiberNamed) {
  EXPECT_EXIT(
      {
        install(SA_ONSTACK, say_and_call_the_one_before);
        spawn("diver", overflow).join();
      },
      died_of_the_fault, HasSubstr("the program's own\nfiber \"diver\" overflowed its 64 KiB stack"));
}

TEST_F(LaterHandlerDeathTest, OneThatDoesNotIsAloneWithTheFault) {
  EXPECT_EXIT(
      {
        install(SA_ONSTACK, say_and_exit);
        spawn("diver", overflow).join();
      },
      ExitedWithCode(42), AllOf(HasSubstr("the program's own"), Not(HasSubstr("overflowed"))));
}

// There is no room for its frame on the stack that is full.
TEST_F(LaterHandlerDeathTest, OneWithoutTheSignalStackIsNotCalled) {
  EXPECT_EXIT(
      {
        install(0, say_and_exit);
        spawn("diver", overflow).join();
      },
      KilledBySignal(SIGSEGV), AllOf(Not(HasSubstr("the program's own")), Not(HasSubstr("overflowed"))));
}

// Who found ours may put it back.
TEST_F(LaterHandlerDeathTest, OneThatWasThereForAWhileLeavesOurs) {
  EXPECT_EXIT(
      {
        install(SA_ONSTACK, say_and_exit);
        sigaction(SIGSEGV, &replaced, nullptr);
        spawn("diver", overflow).join();
      },
      died_of_the_fault, AllOf(Not(HasSubstr("the program's own")), HasSubstr("fiber \"diver\" overflowed its 64 KiB stack")));
}

}  // namespace
}  // namespace cooperative
