#include "cooperative/internal/scheduler/overflow_report.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <type_traits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/callback_queue.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/in_parallel.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/internal/stack/stacks.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "cooperative/timer.h"
#include "cooperative/with_timeout.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "tests/support/sanitized.h"

namespace cooperative::inline v0 {
namespace {

using internal::kStackGuard;
using internal::SchedulerCore;
using internal::SignalStack;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::testing::kSanitized;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// The handler is once in a process, and so each of these has a process of its own.
class OverflowDeathTest : public ::testing::Test {
 protected:
  OverflowDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

// By the signal itself, or by the report of the sanitizer that had its handler there.
bool died_of_the_fault(int status) {
  if (kSanitized) return WIFEXITED(status) && WEXITSTATUS(status) != 0;
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

auto says_overflow(const char* text) {
  return AllOf(HasSubstr(text), HasSubstr(kSanitized ? "Sanitizer: " : ""));
}

template <std::size_t frame>
[[gnu::noinline, gnu::no_sanitize_address]] int dive(int depth) {
  volatile char bytes[frame];
  bytes[0] = static_cast<char>(depth);
  if (depth == 0) return 0;
  const int deeper = dive<frame>(depth - 1);
  asm volatile("" : : "r"(bytes) : "memory");  // else it may become a loop
  return deeper + bytes[0];
}

void overflow() { static_cast<void>(dive<200>(1'000'000)); }

void touch(char* address) { *static_cast<volatile char*>(address) = 1; }

void say(std::string_view text) { static_cast<void>(!write(STDERR_FILENO, text.data(), text.size())); }

template <typename F>
void install(int flags, F&& handler) {
  struct sigaction action {};
  if constexpr (std::is_invocable_v<F, int>) {
    action.sa_handler = handler;
  } else {
    action.sa_sigaction = handler;
  }
  action.sa_flags = flags;
  sigaction(SIGSEGV, &action, nullptr);
}

TEST_F(OverflowDeathTest, NamesTheFiberAndTheRemedy) {
  EXPECT_EXIT(spawn("diver", overflow).join(), died_of_the_fault,
              says_overflow("fiber \"diver\" overflowed its 64 KiB stack: give it a larger one by FiberOptions::stack_size\n"));
}

TEST_F(OverflowDeathTest, SaysTheSizeThatWasAskedFor) {
  EXPECT_EXIT(spawn({.name = "big", .stack_size = 1'000'000}, overflow).join(), died_of_the_fault,
              says_overflow("fiber \"big\" overflowed its 980 KiB stack"));
}

// Each kind of fiber has an option of its own.
TEST_F(OverflowDeathTest, NamesTheOptionThatExists) {
  EXPECT_EXIT(in_parallel(overflow), died_of_the_fault, says_overflow("by ParallelOptions::stack_size"));
  EXPECT_EXIT(
      {
        const Timer timer(absl::ZeroDuration(), overflow);
        sleep(absl::InfiniteDuration());
      },
      died_of_the_fault, says_overflow("by TimerOptions::stack_size"));
  EXPECT_EXIT(
      {
        Scheduler::current().callback(overflow);
        sleep(absl::InfiniteDuration());
      },
      died_of_the_fault, says_overflow("by SchedulerOptions::callback_stack_size"));
  EXPECT_EXIT(
      {
        const Scheduler here = Scheduler::current();
        auto other = Thread::run("other", [&](Signal) { here.callback_result(overflow); });
        sleep(absl::InfiniteDuration());
      },
      died_of_the_fault, says_overflow("by SchedulerOptions::callback_stack_size"));
  EXPECT_EXIT(
      {
        CallbackQueue queue(Scheduler::current());
        static_cast<void>(queue.callback(overflow));
        sleep(absl::InfiniteDuration());
      },
      died_of_the_fault, says_overflow("by CallbackQueueOptions::stack_size"));
  EXPECT_EXIT(with_timeout(absl::Hours(1), [] { spawn("in with_timeout", [] { with_timeout(absl::Hours(1), overflow); }).join(); }),
              died_of_the_fault, says_overflow("by FiberOptions::stack_size"));
}

TEST_F(OverflowDeathTest, OfAFiberOnAnyThread) {
  EXPECT_EXIT(Thread::run("host", [](Signal) { spawn("deep", overflow).join(); }).join(), died_of_the_fault,
              says_overflow("fiber \"deep\" overflowed"));
}

// Its scheduler's core served another thread before.
TEST_F(OverflowDeathTest, OfAFiberOnALaterThread) {
  EXPECT_EXIT(
      {
        for (int i = 0; i < 3; ++i) Thread::run("host", [](Signal) { spawn("harmless", [] {}).join(); }).join();
        Thread::run("last", [](Signal) { spawn("deep", overflow).join(); }).join();
      },
      died_of_the_fault, says_overflow("fiber \"deep\" overflowed"));
}

TEST_F(OverflowDeathTest, OfTheOneThatRunsAmongOthers) {
  EXPECT_EXIT(
      {
        Event<> never;
        auto before = spawn("before", [&] { never.wait(); });
        auto diver = spawn("diver", [] {
          yield();
          overflow();
        });
        auto after = spawn("after", [&] { never.wait(); });
        diver.join();
      },
      died_of_the_fault, says_overflow("fiber \"diver\" overflowed"));
}

// Frames of more than a page do not step over the guard.
TEST_F(OverflowDeathTest, ByLargeFrames) {
  EXPECT_EXIT(spawn("striding", [] { static_cast<void>(dive<kStackGuard - 1024>(1000)); }).join(), died_of_the_fault,
              says_overflow("fiber \"striding\" overflowed"));
}

TEST_F(OverflowDeathTest, AFaultElsewhereIsNoOverflow) {
  EXPECT_EXIT(spawn("wild", [] { touch(reinterpret_cast<char*>(8)); }).join(), died_of_the_fault, Not(HasSubstr("overflowed")));
}

TEST_F(OverflowDeathTest, AnothersGuardIsNoOverflow) {
  EXPECT_EXIT(
      {
        Event<> never;
        char* guard = nullptr;
        auto other = spawn("other", [&] {
          guard = SchedulerCore::current().running_fiber()->runnable.stack->lowest - 1;
          never.wait();
        });
        yield();
        spawn("wild", [&] { touch(guard); }).join();
      },
      died_of_the_fault, Not(HasSubstr("overflowed")));
}

TEST_F(OverflowDeathTest, ASignalThatWasSentEndsTheProgram) {
  EXPECT_EXIT(spawn("raising", [] { raise(SIGSEGV); }).join(), died_of_the_fault, Not(HasSubstr("overflowed")));
}

TEST_F(OverflowDeathTest, ASignalThatWasIgnoredStillIs) {
  EXPECT_EXIT(
      {
        signal(SIGSEGV, SIG_IGN);
        spawn("raising", [] { raise(SIGSEGV); }).join();
        say("went on\n");
        std::_Exit(0);
      },
      ::testing::ExitedWithCode(0), HasSubstr("went on"));
}

// --- a program with handlers of its own ------------------------------------------------------------------------------------------

TEST_F(OverflowDeathTest, AHandlerThatWasThereIsCalled) {
  EXPECT_EXIT(
      {
        install(SA_SIGINFO | SA_ONSTACK, +[](int, siginfo_t* info, void*) {
          say(info->si_code > 0 && info->si_addr != nullptr ? "the program's own\n" : "an empty one\n");
          _exit(42);
        });
        spawn("diver", overflow).join();
      },
      ::testing::ExitedWithCode(42), AllOf(HasSubstr("fiber \"diver\" overflowed"), HasSubstr("the program's own")));
}

TEST_F(OverflowDeathTest, OneThatTakesOnlyTheNumberToo) {
  EXPECT_EXIT(
      {
        install(0, +[](int number) {
          say(number == SIGSEGV ? "the program's own\n" : "?\n");
          _exit(42);
        });
        spawn("diver", overflow).join();
      },
      ::testing::ExitedWithCode(42), AllOf(HasSubstr("fiber \"diver\" overflowed"), HasSubstr("the program's own")));
}

TEST_F(OverflowDeathTest, OneThatWantsToBeCalledOnceIsCalledOnce) {
  EXPECT_EXIT(
      {
        install(SA_SIGINFO | SA_RESETHAND, +[](int, siginfo_t*, void*) {
          static std::atomic<int> calls{0};
          if (calls.fetch_add(1) > 0) say("called again\n");
        });
        spawn("diver", overflow).join();
      },
      ::testing::KilledBySignal(SIGSEGV), AllOf(HasSubstr("fiber \"diver\" overflowed"), Not(HasSubstr("called again"))));
}

sigjmp_buf back;

// As interpreters and collectors do it.
TEST_F(OverflowDeathTest, OneThatRecoversGoesOnDoingSo) {
  EXPECT_EXIT(
      {
        install(SA_SIGINFO | SA_ONSTACK, +[](int, siginfo_t* info, void*) {
          if (info->si_addr == reinterpret_cast<void*>(8)) siglongjmp(back, 1);
          _exit(42);
        });
        spawn("recovering", [] {
          static int i = 0;  // in no register, which the jump would lose
          for (; i < 3; ++i) {
            if (sigsetjmp(back, 1) == 0) touch(reinterpret_cast<char*>(8));
            say("recovered\n");
          }
          overflow();
        }).join();
      },
      ::testing::ExitedWithCode(42), HasSubstr("recovered\nrecovered\nrecovered\nfiber \"recovering\" overflowed"));
}

// --- the signal stack ------------------------------------------------------------------------------------------------------------

stack_t signal_stack() {
  stack_t now{};
  EXPECT_EQ(sigaltstack(nullptr, &now), 0);
  return now;
}

TEST(SignalStackTest, IsThereWhileTheThreadHasAScheduler) {
  Thread::run("host", [](Signal) {
    const bool had_one = (signal_stack().ss_flags & SS_DISABLE) == 0;
    SignalStack stack;
    stack.enter();
    const stack_t first = signal_stack();
    EXPECT_EQ(first.ss_flags & SS_DISABLE, 0);
    stack.leave();
    EXPECT_EQ((signal_stack().ss_flags & SS_DISABLE) == 0, had_one);
    stack.enter();
    EXPECT_EQ(signal_stack().ss_sp, first.ss_sp);
    stack.leave();
  }).join();
}

TEST(SignalStackTest, OneOfTheProgramsOwnIsKept) {
  Thread::run("host", [](Signal) {
    const stack_t before = signal_stack();
    static char memory[64 * 1024];
    const stack_t own{.ss_sp = memory, .ss_flags = 0, .ss_size = sizeof memory};
    ASSERT_EQ(sigaltstack(&own, nullptr), 0);
    SignalStack stack;
    stack.enter();
    EXPECT_EQ(signal_stack().ss_sp, memory);
    stack.leave();
    EXPECT_EQ(signal_stack().ss_sp, memory);
    sigaltstack(&before, nullptr);
  }).join();
}

TEST(SignalStackTest, OneThatCameLaterStays) {
  Thread::run("host", [](Signal) {
    const stack_t before = signal_stack();
    SignalStack stack;
    stack.enter();
    static char memory[64 * 1024];
    const stack_t own{.ss_sp = memory, .ss_flags = 0, .ss_size = sizeof memory};
    ASSERT_EQ(sigaltstack(&own, nullptr), 0);
    stack.leave();
    EXPECT_EQ(signal_stack().ss_sp, memory);
    sigaltstack(&before, nullptr);
  }).join();
}

}  // namespace
}  // namespace cooperative
