#include "cooperative/watchdog.h"

#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/fiber.h"
#include "cooperative/sleep.h"
#include "cooperative/testing/world.h"
#include "mothreads/service_manager.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/testing/virtual_clock.h"
#include "tests/support/manager_socket.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::ServiceManager;
using mothreads::Signal;
using mothreads::testing::LogLines;
using mothreads::testing::ManagerSocket;
using mothreads::testing::SetVariable;
using testing::World;
using ::testing::Each;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// A service that a manager watches, with an interval of 10 s, in a World.
class WatchdogTest : public ::testing::Test {
 protected:
  WatchdogTest() {
    const SetVariable address("NOTIFY_SOCKET", socket.variable());
    const SetVariable interval("WATCHDOG_USEC", "10000000");
    manager.emplace();
  }

  // How often it was fed since the last call.
  std::size_t fed() {
    const std::vector<std::string> messages = socket.take();
    EXPECT_THAT(messages, Each("WATCHDOG=1"));
    return messages.size();
  }

  const ManagerSocket socket{ManagerSocket::Kind::abstract};
  std::optional<ServiceManager> manager;
  World world;
};

TEST_F(WatchdogTest, IsFedTwiceInEachInterval) {
  world.run([&] {
    const Watchdog watchdog(*manager);
    yield();
    EXPECT_EQ(fed(), 1U);
    sleep(absl::Seconds(20) + absl::Milliseconds(1));
    EXPECT_EQ(fed(), 4U);
  });
  EXPECT_EQ(fed(), 0U);
}

TEST_F(WatchdogTest, IsNotFedWhileAFiberKeepsTheThread) {
  mothreads::testing::on_virtual_time([&](mothreads::testing::VirtualClock& clock) {
    const Watchdog watchdog(*manager);
    yield();
    EXPECT_EQ(fed(), 1U);
    clock.advance(absl::Seconds(20));  // this fiber computes meanwhile
    EXPECT_EQ(fed(), 0U);
    std::size_t later = 0;
    while ((later = fed()) == 0) yield();
    EXPECT_EQ(later, 1U);
  });
}

TEST_F(WatchdogTest, IsFedThroughADrainAndAStop) {
  world.run([&] {
    auto service = spawn("service", [&](const Signal& please_stop) {
      const Watchdog watchdog(*manager);
      please_stop.wait();
      static_cast<void>(fed());
      sleep(absl::Seconds(10) + absl::Milliseconds(1));  // what it has to do before its end
      EXPECT_EQ(fed(), 2U);
    });
    yield();
    service.stop().join();
    sleep(absl::Seconds(20));
    EXPECT_EQ(fed(), 0U);
  });
}

TEST_F(WatchdogTest, IsFedWhenAllIsWell) {
  LogLines log;
  world.run([&] {
    bool is_well = true;
    const Watchdog watchdog(*manager, {.is_well = [&] { return is_well; }});
    yield();
    EXPECT_EQ(fed(), 1U);
    is_well = false;
    sleep(absl::Seconds(20) + absl::Milliseconds(1));
    EXPECT_EQ(fed(), 0U);
    is_well = true;
    sleep(absl::Seconds(5));
    EXPECT_EQ(fed(), 1U);
  });
  EXPECT_THAT(log.with("the watchdog is not fed: it is not well"), SizeIs(1));
  EXPECT_THAT(log.with("the watchdog is fed again"), SizeIs(1));
}

TEST_F(WatchdogTest, WhoCannotSayThatAllIsWellDoesNotFeedIt) {
  LogLines log;
  world.run([&] {
    const Watchdog watchdog(*manager, {.is_well = []() -> bool { throw std::runtime_error("no answer"); }});
    sleep(absl::Seconds(20));
    EXPECT_EQ(fed(), 0U);
  });
  EXPECT_THAT(log.with("the watchdog is not fed: no answer"), SizeIs(1));
}

// A manager that does not read: only the fiber that calls ready() waits for it, and the watchdog is fed again afterwards.
TEST_F(WatchdogTest, AFullManagerHoldsUpNoOtherFiber) {
  world.run([&] {
    while (manager->feed_watchdog()) {
    }
    const Watchdog watchdog(*manager);
    bool is_ready = false;
    auto starting = spawn("starting", [&] {
      EXPECT_TRUE(manager->ready());
      is_ready = true;
    });
    sleep(absl::Seconds(7) - absl::Milliseconds(1));
    EXPECT_FALSE(is_ready);
    EXPECT_GT(fed(), 0U);  // the manager reads
    starting.join();
    EXPECT_EQ(world.elapsed(), absl::Seconds(7));  // it asks each 10 ms
    EXPECT_EQ(socket.take(), std::vector<std::string>{"READY=1"});
    sleep(absl::Seconds(5));
    EXPECT_EQ(fed(), 1U);
  });
}

TEST_F(WatchdogTest, WhereNobodyWatchesItDoesNothing) {
  ServiceManager nobody;
  world.run([&] {
    const Watchdog watchdog(nobody, {.is_well = [] {
                              ADD_FAILURE() << "it was asked";
                              return true;
                            }});
    sleep(absl::Hours(1));
  });
  EXPECT_THAT(socket.take(), IsEmpty());
}

}  // namespace
}  // namespace cooperative
