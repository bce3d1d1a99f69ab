#include "cooperative/io/os_signals.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/io/pipe.h"
#include "cooperative/io/process.h"
#include "cooperative/sleep.h"
#include "cooperative/wait_for.h"
#include "mothreads/ended.h"
#include "mothreads/main_thread.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "tests/cooperative/io/nothing_left_open.h"
#include "tests/support/exceptions.h"
#include "tests/support/sanitized.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::MainThread;
using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::Why;
using mothreads::testing::kSanitized;
using mothreads::testing::what_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class OsSignalTest : public testing::NothingLeftOpen {
 protected:
  static auto disposition(int number) {
    struct sigaction now {};
    sigaction(number, nullptr, &now);
    return now.sa_handler;
  }
};

// shrapnel's two tests of signal_handler.
TEST_F(OsSignalTest, AFiberWaitsForASignal) {
  OsSignal usr1(SIGUSR1);
  std::vector<std::string> order;
  auto waiter = spawn("waiter", [&] {
    order.push_back("waits");
    EXPECT_TRUE(usr1.wait());
    order.push_back("has it");
  });
  yield();
  order.push_back("sends");
  ::kill(getpid(), SIGUSR1);
  waiter.join();
  EXPECT_THAT(order, ElementsAre("waits", "sends", "has it"));
}

TEST_F(OsSignalTest, EachDeliveryIsCounted) {
  OsSignal usr1(SIGUSR1);
  for (int i = 0; i < 1000; ++i) raise(SIGUSR1);
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(usr1.wait(absl::ZeroDuration()));
  EXPECT_EQ(usr1.wait(absl::ZeroDuration()).why(), Why::timed_out);
}

TEST_F(OsSignalTest, EachDeliveryGoesToOneWhoWaitsInTheirOrder) {
  OsSignal usr1(SIGUSR1);
  std::vector<std::string> order;
  std::vector<Fiber<void>> waiters;
  for (const char* name : {"a", "b", "c"}) {
    waiters.push_back(spawn(name, [&, name] {
      EXPECT_TRUE(usr1.wait());
      order.push_back(name);
    }));
  }
  yield();
  raise(SIGUSR1);
  raise(SIGUSR1);
  waiters[1].join();
  EXPECT_THAT(order, ElementsAre("a", "b"));
  raise(SIGUSR1);
  waiters[2].join();
}

TEST_F(OsSignalTest, OneWhoIsCancelledTakesNoDelivery) {
  OsSignal usr1(SIGUSR1);
  auto waiter = spawn("waiter", [&] { static_cast<void>(usr1.wait()); });
  yield();
  raise(SIGUSR1);
  waiter.cancel();
  EXPECT_THROW(waiter.join(), WasCancelled);
  EXPECT_TRUE(usr1.wait(absl::ZeroDuration()));
}

TEST_F(OsSignalTest, AnyThreadOfTheProcessMayGetIt) {
  OsSignal usr1(SIGUSR1);
  Thread::run("other", [](Signal) {
    raise(SIGUSR1);  // on that thread
  }).join();
  EXPECT_TRUE(usr1.wait(absl::ZeroDuration()));
}

TEST_F(OsSignalTest, TwoSignalsAreTwo) {
  OsSignal usr1(SIGUSR1);
  OsSignal usr2(SIGUSR2);
  raise(SIGUSR2);
  EXPECT_FALSE(usr1.wait(absl::ZeroDuration()));
  EXPECT_TRUE(usr2.wait(absl::ZeroDuration()));
}

TEST_F(OsSignalTest, ItIsOneOfSeveralThings) {
  OsSignal usr1(SIGUSR1);
  auto [reader, writer] = make_pipe();
  Readable signalled(usr1.descriptor());
  Readable readable(reader.descriptor());
  raise(SIGUSR1);
  EXPECT_EQ(wait_for_any(std::tie(readable, signalled)).index(), 1u);
  EXPECT_TRUE(usr1.wait(absl::ZeroDuration()));
}

TEST_F(OsSignalTest, ARealTimeSignalToo) {
  OsSignal queued(SIGRTMIN + 3);
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, queued.number());
  pthread_sigmask(SIG_BLOCK, &mask, nullptr);
  constexpr int kSent = kSanitized ? 1 : 5;  // the handler of ThreadSanitizer makes one of several that come together
  for (int i = 0; i < kSent; ++i) raise(queued.number());
  pthread_sigmask(SIG_UNBLOCK, &mask, nullptr);
  for (int i = 0; i < kSent; ++i) EXPECT_TRUE(queued.wait(absl::ZeroDuration()));
  EXPECT_FALSE(queued.wait(absl::ZeroDuration()));
  EXPECT_EQ(queued.name(), "signal " + std::to_string(queued.number()));
}

TEST_F(OsSignalTest, ASecondRegistrationIsRefused) {
  std::optional<OsSignal> first(SIGUSR1);
  EXPECT_THAT(what_of<Misuse>([] { OsSignal second(SIGUSR1); }), HasSubstr("SIGUSR1 is handled by something else in this process already"));
  raise(SIGUSR1);
  EXPECT_TRUE(first->wait(absl::ZeroDuration())) << "the first is none the worse";
  first.reset();
  OsSignal again(SIGUSR1);
}

TEST_F(OsSignalTest, WhoeverHandlesItAlreadyKeepsIt) {
  ::signal(SIGUSR2, [](int) {});
  const auto before = disposition(SIGUSR2);
  EXPECT_THROW(static_cast<void>(OsSignal{SIGUSR2}), Misuse);
  EXPECT_EQ(disposition(SIGUSR2), before);
  ::signal(SIGUSR2, SIG_DFL);
}

TEST_F(OsSignalTest, TheMainThreadsSignalsAreRefused) {
  EXPECT_EQ(MainThread::run([](Signal) {
              EXPECT_THAT(what_of<Misuse>([] { OsSignal taken(SIGTERM); }), HasSubstr("SIGTERM is handled"));
              EXPECT_THAT(what_of<Misuse>([] { OsSignal taken(SIGINT); }), HasSubstr("take_signals = false"));
            }),
            0);
}

TEST_F(OsSignalTest, WhatCannotBeWaitedForIsRefused) {
  EXPECT_THAT(what_of<Misuse>([] { OsSignal never(SIGKILL); }), HasSubstr("SIGKILL cannot be handled"));
  EXPECT_THAT(what_of<Misuse>([] { OsSignal never(SIGSEGV); }), HasSubstr("SIGSEGV tells of a fault"));
  EXPECT_THAT(what_of<Misuse>([] { OsSignal never(0); }), HasSubstr("0 is the number of no signal"));
  EXPECT_THAT(what_of<Misuse>([] { OsSignal never(NSIG); }), HasSubstr("is the number of no signal"));
}

TEST_F(OsSignalTest, WhatWasThereIsBackAfterwards) {
  ::signal(SIGUSR1, SIG_IGN);
  {
    OsSignal usr1(SIGUSR1);
    EXPECT_NE(disposition(SIGUSR1), SIG_IGN);
    sigset_t mask;
    pthread_sigmask(SIG_BLOCK, nullptr, &mask);
    EXPECT_EQ(sigismember(&mask, SIGUSR1), 0);
  }
  EXPECT_EQ(disposition(SIGUSR1), SIG_IGN);
  ::signal(SIGUSR1, SIG_DFL);
}

TEST_F(OsSignalTest, ClosingItEndsTheWaits) {
  OsSignal usr1(SIGUSR1);
  auto waiter = spawn("waiter", [&] { return what_of<Closed>([&] { static_cast<void>(usr1.wait()); }); });
  yield();
  usr1.close();
  EXPECT_THAT(waiter.join(), HasSubstr("an OsSignal was closed while a fiber waited"));
  EXPECT_EQ(disposition(SIGUSR1), SIG_DFL);
}

// The opposite of shrapnel's: they begin with nothing blocked, and their signals are theirs.
TEST_F(OsSignalTest, ChildrenDieOfItAsEver) {
  OsSignal usr1(SIGUSR1);
  Process process({"sleep", "1000"});
  process.signal(SIGUSR1);
  EXPECT_EQ(process.wait(), ProcessEnd::killed(SIGUSR1));
  EXPECT_FALSE(usr1.wait(absl::ZeroDuration())) << "not ours";
  if (kSanitized) return;  // in a forked child ThreadSanitizer stays in the place of SIG_DFL
  const pid_t forked = fork();
  if (forked == 0) {
    raise(SIGUSR1);
    while (true) pause();
  }
  EXPECT_EQ(wait_for_process(forked), ProcessEnd::killed(SIGUSR1));
  EXPECT_FALSE(usr1.wait(absl::ZeroDuration())) << "not ours";
}

}  // namespace
}  // namespace cooperative
