#include "mothreads/service_manager.h"

#include <sys/types.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "mothreads/drain_hold.h"
#include "mothreads/ended_early.h"
#include "mothreads/log.h"
#include "mothreads/main_thread.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "tests/support/forked.h"
#include "tests/support/manager_socket.h"
#include "tests/support/virtual_time.h"

namespace mothreads::inline v0 {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::LogLines;
using testing::ManagerSocket;
using testing::SetVariable;
using testing::VirtualClock;

// --- whom it tells ------------------------------------------------------------------------------------------------------------

TEST(ServiceManagerTest, WithoutAManagerNothingIsTold) {
  LogLines log;
  ServiceManager manager;
  EXPECT_FALSE(manager.is_there());
  EXPECT_EQ(manager.watchdog_interval(), std::nullopt);
  EXPECT_EQ(manager.ready().why(), Why::closed);
  EXPECT_EQ(manager.stopping().why(), Why::closed);
  EXPECT_EQ(manager.status("fine").why(), Why::closed);
  EXPECT_EQ(manager.feed_watchdog().why(), Why::closed);
  EXPECT_THAT(log.take_texts(), IsEmpty());
}

TEST(ServiceManagerTest, ThePathOfASocketIsOne) {
  const ManagerSocket socket(ManagerSocket::Kind::path);
  const SetVariable variable("NOTIFY_SOCKET", socket.variable());
  ServiceManager manager;
  EXPECT_TRUE(manager.is_there());
  EXPECT_TRUE(manager.status("warming up"));
  EXPECT_TRUE(manager.ready());
  EXPECT_TRUE(manager.feed_watchdog());
  EXPECT_TRUE(manager.stopping());
  EXPECT_TRUE(manager.tell("MAINPID=12\nEXTEND_TIMEOUT_USEC=1000000"));
  EXPECT_THAT(socket.take(), ElementsAre("STATUS=warming up", "READY=1", "WATCHDOG=1", "STOPPING=1", "MAINPID=12\nEXTEND_TIMEOUT_USEC=1000000"));
}

TEST(ServiceManagerTest, ANameWithoutAFileIsOne) {
  const ManagerSocket socket(ManagerSocket::Kind::abstract);
  ASSERT_EQ(socket.variable().front(), '@');
  const SetVariable variable("NOTIFY_SOCKET", socket.variable());
  ServiceManager manager;
  EXPECT_TRUE(manager.ready());
  EXPECT_THAT(socket.take(), ElementsAre("READY=1"));
}

TEST(ServiceManagerTest, TheLongestNamesAreTaken) {
  for (const auto& [size, is_there] : {std::pair(std::size_t{108}, true), std::pair(std::size_t{109}, false)}) {
    LogLines log;
    const SetVariable variable("NOTIFY_SOCKET", "@" + std::string(size - 1, 'n'));
    EXPECT_EQ(ServiceManager().is_there(), is_there) << size;
    EXPECT_THAT(log.with("NOTIFY_SOCKET=@nnn"), SizeIs(is_there ? 0 : 1));
  }
  for (const auto& [size, is_there] : {std::pair(std::size_t{107}, true), std::pair(std::size_t{108}, false)}) {
    LogLines log;
    const SetVariable variable("NOTIFY_SOCKET", "/" + std::string(size - 1, 'n'));
    EXPECT_EQ(ServiceManager().is_there(), is_there) << size;
  }
}

TEST(ServiceManagerTest, WhatNamesNoSocketIsLoggedAndNotUsed) {
  for (const char* name : {"vsock:2:1234", "relative/path", "/", "@"}) {
    LogLines log;
    const SetVariable variable("NOTIFY_SOCKET", name);
    ServiceManager manager;
    EXPECT_FALSE(manager.is_there()) << name;
    EXPECT_EQ(manager.ready().why(), Why::closed);
    EXPECT_THAT(log.with(std::string("NOTIFY_SOCKET=") + name), SizeIs(1)) << name;
  }
  LogLines log;
  const SetVariable variable("NOTIFY_SOCKET", "");
  EXPECT_FALSE(ServiceManager().is_there());
  EXPECT_THAT(log.take_texts(), IsEmpty());
}

TEST(ServiceManagerTest, ChildrenInheritNoVariables) {
  const ManagerSocket socket(ManagerSocket::Kind::abstract);
  const SetVariable address("NOTIFY_SOCKET", socket.variable());
  const SetVariable interval("WATCHDOG_USEC", "2000000");
  const SetVariable pid("WATCHDOG_PID", "1");
  ServiceManager manager;
  for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) EXPECT_EQ(std::getenv(name), nullptr) << name;
  EXPECT_FALSE(ServiceManager().is_there());
  EXPECT_TRUE(manager.is_there());
}

TEST(ServiceManagerTest, AChildOfForkTellsNobody) {
  const ManagerSocket socket(ManagerSocket::Kind::abstract);
  const SetVariable variable("NOTIFY_SOCKET", socket.variable());
  const SetVariable interval("WATCHDOG_USEC", "2000000");
  ServiceManager manager;
  const pid_t child = fork();
  if (child == 0) {
    const bool is_silent = manager.ready().why() == Why::closed && manager.feed_watchdog().why() == Why::closed &&
                           !manager.is_there() && !manager.watchdog_interval();
    _exit(is_silent ? 0 : 1);
  }
  EXPECT_EQ(testing::end_of(child), "exit 0");
  EXPECT_TRUE(manager.ready());
  EXPECT_THAT(socket.take(), ElementsAre("READY=1"));
}

TEST(ServiceManagerTest, OneThatHasGoneIsLoggedOnce) {
  LogLines log;
  std::optional<ManagerSocket> socket(ManagerSocket::Kind::abstract);
  const SetVariable variable("NOTIFY_SOCKET", socket->variable());
  ServiceManager manager;
  socket.reset();
  EXPECT_EQ(manager.ready().why(), Why::closed);
  EXPECT_EQ(manager.status("alone").why(), Why::closed);
  const auto lines = log.with("the service manager cannot be told \"READY=1\": Connection refused");
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_EQ(lines[0].level, log::Level::warning);
  EXPECT_THAT(log.take_texts(), SizeIs(1));
}

// --- what it says -------------------------------------------------------------------------------------------------------------

TEST(ServiceManagerTest, AStatusIsOneLineThatSaysNothingElse) {
  const ManagerSocket socket(ManagerSocket::Kind::abstract);
  const SetVariable variable("NOTIFY_SOCKET", socket.variable());
  ServiceManager manager;
  EXPECT_TRUE(manager.status("3 jobs\nREADY=1"));
  EXPECT_TRUE(manager.status("h\u00e9"));
  EXPECT_THAT(socket.take(), ElementsAre("STATUS=3 jobs\\nREADY=1", "STATUS=h\u00e9"));
}

TEST(ServiceManagerTest, AMessageHasAnEnd) {
  const ManagerSocket socket(ManagerSocket::Kind::abstract);
  const SetVariable variable("NOTIFY_SOCKET", socket.variable());
  ServiceManager manager;
  constexpr std::size_t kMost = ServiceManager::kMaxMessage;
  EXPECT_TRUE(manager.tell(std::string(kMost, 'a')));
  EXPECT_THROW(static_cast<void>(manager.tell(std::string(kMost + 1, 'a'))), Misuse);
  EXPECT_THROW(static_cast<void>(manager.tell("")), Misuse);
  EXPECT_TRUE(manager.status(std::string(kMost - 7, 'a')));  // fits behind "STATUS="
  EXPECT_TRUE(manager.status(std::string(kMost - 8, 'a') + "\u00e9"));  // would end in the middle of a character
  const auto messages = socket.take();
  ASSERT_EQ(messages.size(), 3U);
  EXPECT_EQ(messages[0].size(), kMost);
  EXPECT_EQ(messages[1].size(), kMost);
  EXPECT_EQ(messages[2], "STATUS=" + std::string(kMost - 8, 'a'));
}

// --- one that does not read ---------------------------------------------------------------------------------------------------

void fill(ServiceManager& manager) {
  while (manager.feed_watchdog()) {
  }
  ASSERT_EQ(manager.feed_watchdog().why(), Why::full);
}

TEST(ServiceManagerTest, ReadyWaitsForItToRead) {
  testing::on_virtual_time([](VirtualClock& clock) {
    const ManagerSocket socket(ManagerSocket::Kind::abstract);
    const SetVariable variable("NOTIFY_SOCKET", socket.variable());
    ServiceManager manager;
    fill(manager);
    auto reader = Thread::run("reader", [&](Signal) {
      clock.await_timers(1);
      EXPECT_THAT(socket.take(), ::testing::Each("WATCHDOG=1"));
      clock.advance(absl::Seconds(1));
    });
    EXPECT_TRUE(manager.ready());
    reader.join();
    EXPECT_THAT(socket.take(), ElementsAre("READY=1"));
  });
}

TEST(ServiceManagerTest, ReadyWaitsNoLongerThanItsLimit) {
  testing::on_virtual_time([](VirtualClock& clock) {
    const ManagerSocket socket(ManagerSocket::Kind::abstract);
    const SetVariable variable("NOTIFY_SOCKET", socket.variable());
    ServiceManager manager;
    fill(manager);
    EXPECT_THROW(manager.ready(DONE), Stopped);
    auto passer = testing::advance_once_awaited(clock, absl::Milliseconds(5));
    EXPECT_THROW(manager.ready(absl::Milliseconds(5)), Timedout);
    passer.join();
  });
}

// --- the stop -----------------------------------------------------------------------------------------------------------------

TEST(ServiceManagerTest, ADrainIsToldOnceItIsReady) {
  const ManagerSocket socket(ManagerSocket::Kind::abstract);
  const SetVariable variable("NOTIFY_SOCKET", socket.variable());
  ServiceManager manager;
  std::vector<std::string> after_drain;
  EXPECT_EQ(MainThread::run(
                [&](Signal please_stop) {
                  EXPECT_TRUE(manager.ready());
                  EXPECT_TRUE(manager.ready());  // after a reload, maybe
                  EXPECT_THAT(socket.take(), ElementsAre("READY=1", "READY=1"));
                  const DrainHold busy("busy");
                  MainThread::drain();
                  EXPECT_FALSE(please_stop);
                  after_drain = socket.take();
                },
                {.drain = absl::InfiniteDuration()}),
            0);
  EXPECT_THAT(after_drain, ElementsAre("STOPPING=1"));
  EXPECT_THAT(socket.take(), IsEmpty());
}

TEST(ServiceManagerTest, AStopWithoutADrainIsTold) {
  const ManagerSocket socket(ManagerSocket::Kind::abstract);
  const SetVariable variable("NOTIFY_SOCKET", socket.variable());
  ServiceManager manager;
  EXPECT_EQ(MainThread::run([&](Signal) {
    EXPECT_TRUE(manager.ready());
    MainThread::stop();
    EXPECT_THAT(socket.take(), ElementsAre("READY=1", "STOPPING=1"));
  }), 0);
}

TEST(ServiceManagerTest, AServiceThatNeverWasReadySaysNothingOfItsStop) {
  const ManagerSocket socket(ManagerSocket::Kind::abstract);
  const SetVariable variable("NOTIFY_SOCKET", socket.variable());
  ServiceManager manager;
  EXPECT_EQ(MainThread::run([&](Signal) { MainThread::stop(); }), 0);
  EXPECT_THAT(socket.take(), IsEmpty());
}

TEST(ServiceManagerTest, AfterItsEndAStopIsNotTold) {
  const ManagerSocket socket(ManagerSocket::Kind::abstract);
  const SetVariable variable("NOTIFY_SOCKET", socket.variable());
  EXPECT_EQ(MainThread::run([&](Signal) {
    {
      ServiceManager manager;
      EXPECT_TRUE(manager.ready());
    }
    MainThread::stop();
  }), 0);
  EXPECT_THAT(socket.take(), ElementsAre("READY=1"));
}

// --- the watchdog -------------------------------------------------------------------------------------------------------------

std::optional<absl::Duration> interval_of(const std::string& microseconds, std::optional<std::string> pid = std::nullopt) {
  const ManagerSocket socket(ManagerSocket::Kind::abstract);
  const SetVariable address("NOTIFY_SOCKET", socket.variable());
  const SetVariable interval("WATCHDOG_USEC", microseconds);
  std::optional<SetVariable> process;
  if (pid) process.emplace("WATCHDOG_PID", *pid);
  return ServiceManager().watchdog_interval();
}

TEST(ServiceManagerTest, TheEnvironmentHasTheWatchdogsInterval) {
  EXPECT_EQ(interval_of("2500000"), absl::Seconds(2.5));
  EXPECT_EQ(interval_of("1", std::to_string(getpid())), absl::Microseconds(1));
  EXPECT_EQ(interval_of("9223372036854775807"), absl::Microseconds(9223372036854775807));
}

TEST(ServiceManagerTest, AWatchdogOfAnotherProcessOrWithoutAnIntervalIsNone) {
  EXPECT_EQ(interval_of("2500000", "1"), std::nullopt);
  EXPECT_EQ(interval_of("2500000", ""), std::nullopt);
  EXPECT_EQ(interval_of("2500000", "me"), std::nullopt);
  for (const char* none : {"0", "", "-1", " 1", "1s", "9223372036854775808", "18446744073709551615", "18446744073709551616"}) {
    EXPECT_EQ(interval_of(none), std::nullopt) << none;
  }
  const SetVariable interval("WATCHDOG_USEC", "1000000");
  EXPECT_EQ(ServiceManager().watchdog_interval(), std::nullopt) << "there is nobody to tell";
}

}  // namespace
}  // namespace mothreads
