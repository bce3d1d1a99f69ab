#include "mothreads/register_thread.h"

#include <pthread.h>

#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mothreads/log.h"
#include "mothreads/main_thread.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/thread.h"
#include "mothreads/thread_group.h"
#include "tests/support/nothing_left.h"

namespace mothreads::inline v0 {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::LogLines;

class RegisterThreadTest : public testing::NothingLeft {};

// Defect T12: a registered thread was not known.
TEST_F(RegisterThreadTest, TheThreadIsKnownWithinTheScope) {
  LogLines log;
  std::thread([&] {
    {
      const RegisterThread registered("camera driver");
      EXPECT_EQ(Thread::current(), registered.thread());
      EXPECT_EQ(Thread::current().name(), "camera driver");
      EXPECT_EQ(Thread::current().parent(), MainThread::thread());
      EXPECT_EQ(MainThread::thread().children(), std::vector{registered.thread()});
      EXPECT_TRUE(registered.thread().is_alive());
      log::info("hello");
      EXPECT_THAT(log.with("is not known"), IsEmpty());
    }
    EXPECT_THAT(MainThread::thread().children(), IsEmpty());
    log::info("goodbye");
    static_cast<void>(Thread::current());
    EXPECT_THAT(log.with("is not known"), SizeIs(1));
  }).join();
  ASSERT_THAT(log.with("hello"), SizeIs(1));
  EXPECT_EQ(log.with("hello")[0].context, "camera driver");
  ASSERT_THAT(log.with("goodbye"), SizeIs(1));
  EXPECT_THAT(log.with("goodbye")[0].context, HasSubstr("Unknown Thread "));
}

TEST_F(RegisterThreadTest, WithoutANameItsOwnIsTaken) {
  std::thread([] {
    pthread_setname_np(pthread_self(), "grabber");
    const RegisterThread registered;
    EXPECT_EQ(registered.thread().name(), "grabber");
  }).join();
}

TEST_F(RegisterThreadTest, StoppedGoesAtTheEndOfTheScope) {
  std::thread([] {
    Signal stopped;
    {
      const RegisterThread registered("camera driver");
      stopped = registered.thread().stopped();
      EXPECT_FALSE(stopped);
    }
    EXPECT_TRUE(stopped);
  }).join();
}

TEST_F(RegisterThreadTest, WhatItStartsIsStoppedAndAwaitedAtTheEndOfTheScope) {
  bool child_told = false;
  std::thread([&] {
    const RegisterThread registered("camera driver");
    auto child = Thread::run("child", [&](Signal please_stop) {
      please_stop.wait();
      child_told = true;
    });
    EXPECT_EQ(child.thread().parent(), registered.thread());
    child.release();
  }).join();
  EXPECT_TRUE(child_told);
}

TEST_F(RegisterThreadTest, AGroupMadeInsideBelongsToIt) {
  std::thread([] {
    const RegisterThread registered("camera driver");
    ThreadGroup group("workers");
    EXPECT_THAT(registered.thread().children(), SizeIs(1));
    EXPECT_EQ(registered.thread().children()[0].name(), "workers");
  }).join();
}

TEST_F(RegisterThreadTest, ItMayBeRegisteredAgain) {
  std::thread([] {
    std::uint64_t first = 0;
    {
      const RegisterThread registered("first");
      first = registered.thread().id();
    }
    const RegisterThread registered("second");
    EXPECT_EQ(Thread::current().name(), "second");
    EXPECT_NE(registered.thread().id(), first);
  }).join();
}

TEST_F(RegisterThreadTest, OnAThreadThatIsKnownItIsMisuse) {
  EXPECT_THROW(static_cast<void>(RegisterThread("main again")), Misuse);
  EXPECT_TRUE(Thread::run("ours", [](Signal) {
                try {
                  const RegisterThread registered("again");
                  return false;
                } catch (const Misuse& misuse) {
                  return std::string(misuse.what()).find("\"ours\", which is known already") != std::string::npos;
                }
              }).join());
  std::thread([] {
    const RegisterThread registered("camera driver");
    EXPECT_THROW(static_cast<void>(RegisterThread("nested")), Misuse);
    EXPECT_EQ(Thread::current().name(), "camera driver");
  }).join();
}

TEST_F(RegisterThreadTest, TheMainThreadTellsItToStopAndWaits) {
  bool told = false;
  std::thread foreign;
  const int code = MainThread::run([&](Signal) {
    Signal registered;
    foreign = std::thread([&, registered] {
      const RegisterThread self("camera driver");
      registered.go();
      self.please_stop().wait();
      told = true;
    });
    registered.wait();
    return 4;
  });
  EXPECT_EQ(code, 4);
  EXPECT_TRUE(told);  // run() has waited for the scope
  foreign.join();
}

TEST_F(RegisterThreadTest, ItCanBeToldToStopAlone) {
  Signal registered;
  std::vector<Thread> seen;
  std::thread foreign([&] {
    const RegisterThread self("camera driver");
    seen.push_back(self.thread());
    registered.go();
    self.please_stop().wait();
  });
  registered.wait();
  seen[0].stop();
  foreign.join();
  EXPECT_FALSE(seen[0].is_alive());
}

}  // namespace
}  // namespace mothreads
