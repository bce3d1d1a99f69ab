#include "cooperative/quit.h"

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/sleep.h"
#include "mothreads/main_thread.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "tests/support/exceptions.h"
#include "tests/support/nothing_left.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::DONE;
using mothreads::MainThread;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::testing::what_of;
using ::testing::ElementsAre;

using Names = std::vector<std::string>;

// Each with a main thread's function of its own: what quit() asks for is asked once for each.
class QuitTest : public mothreads::testing::NothingLeft {};
using QuitDeathTest = QuitTest;

TEST_F(QuitTest, AFiberMayAskForIt) {
  const int code = MainThread::run([](const Signal& please_stop) {
    spawn("quitter", [] { quit(); }).release();
    EXPECT_FALSE(please_stop);
    wait_for_quit();
    EXPECT_TRUE(please_stop);
    return 3;
  });
  EXPECT_EQ(code, 3);
}

TEST_F(QuitTest, AThreadMayAskForIt) {
  MainThread::run([](const Signal&) {
    auto quitter = Thread::run("quitter", [](Signal) { quit(); });
    wait_for_quit();
    quitter.join();
  });
}

TEST_F(QuitTest, SoMayWhoeverStopsTheMainThread) {
  MainThread::run([](const Signal&) {
    auto stopper = Thread::run("stopper", [](Signal) { MainThread::stop(); });
    wait_for_quit();
    stopper.join();
  });
}

TEST_F(QuitTest, ItStays) {
  MainThread::run([](const Signal&) {
    quit();
    quit();
    wait_for_quit();
    wait_for_quit(absl::ZeroDuration());
    wait_for_quit(DONE);
  });
}

TEST_F(QuitTest, ALimitThatComesFirstIsTimedout) {
  MainThread::run([](const Signal& please_stop) {
    EXPECT_EQ(what_of<Timedout>([] { wait_for_quit(absl::ZeroDuration()); }), "Timed out waiting for quit");
    EXPECT_EQ(what_of<Stopped>([] { wait_for_quit(DONE); }), "Stopped waiting for quit");
    EXPECT_FALSE(please_stop);
  });
}

TEST_F(QuitTest, OnlyTheFiberThatWaitsIsSuspendedAndAnyMayWait) {
  Names order;
  MainThread::run([&](const Signal&) {
    auto waiter = spawn("waiter", [&](Signal) {
      wait_for_quit();
      order.push_back("waiter");
    });
    auto other = spawn("other", [&] { order.push_back("other"); });
    other.join();
    auto thread = Thread::run("thread", [](Signal) { wait_for_quit(); });
    quit();
    waiter.join();
    thread.join();
  });
  EXPECT_THAT(order, ElementsAre("other", "waiter"));
}

TEST_F(QuitTest, AllFibersAreToldToStop) {
  Names order;
  MainThread::run([&](const Signal&) {
    auto polite = spawn("polite", [&](Signal please_stop) {
      please_stop.wait();
      order.push_back("polite");
    });
    auto sleeper = spawn("sleeper", [] { sleep(absl::InfiniteDuration()); });
    yield();
    quit();
    polite.join();
    EXPECT_THROW(sleeper.join(), WasCancelled);
  });
  EXPECT_THAT(order, ElementsAre("polite"));
}

// In cothread an interrupt that came while a task ran was swallowed.
TEST_F(QuitTest, AnInterruptEndsItWhateverRuns) {
  const int code = MainThread::run([](const Signal&) {
    auto busy = spawn("busy", [](Signal please_stop) {
      kill(getpid(), SIGINT);
      while (!please_stop) yield();
    });
    wait_for_quit();
    EXPECT_EQ(MainThread::stop_signal(), SIGINT);
    busy.join();
    return 0;
  });
  EXPECT_EQ(code, 0);
}

TEST_F(QuitTest, WhereRunLeavesTheSignalsAloneItDoesToo) {
  MainThread::run(
      [](const Signal&) {
        struct sigaction before {};
        sigaction(SIGINT, nullptr, &before);
        EXPECT_THROW(wait_for_quit(absl::ZeroDuration()), Timedout);
        struct sigaction after {};
        sigaction(SIGINT, nullptr, &after);
        EXPECT_EQ(before.sa_handler, after.sa_handler);
      },
      {.take_signals = false});
}

// The threads' verb stops all fibers and waits for them: for itself.
TEST_F(QuitTest, TheThreadsVerbInAFiberIsMisuse) {
  MainThread::run([](const Signal&) {
    auto fiber = spawn("fiber", [] { mothreads::wait_for_shutdown_signal(); });
    EXPECT_THAT(what_of<mothreads::Misuse>([&] { fiber.join(); }), ::testing::HasSubstr("or in a fiber, which it would stop"));
  });
}

// --- without MainThread::run ---------------------------------------------------------------------------------------------------------

TEST_F(QuitDeathTest, InAPlainProgramAFiberMayAskForIt) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        spawn("quitter", [] { quit(); }).release();
        wait_for_quit();
        std::fputs("quit\n", stderr);
        std::exit(4);
      },
      ::testing::ExitedWithCode(4), "quit");
}

TEST_F(QuitDeathTest, InAPlainProgramItTakesTheInterrupt) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        spawn("user", [] {
          yield();  // until the main code waits
          kill(getpid(), SIGINT);
        }).release();
        wait_for_quit();
        std::fputs("quit\n", stderr);
        std::exit(0);
      },
      ::testing::ExitedWithCode(0), "quit");
}

}  // namespace
}  // namespace cooperative
