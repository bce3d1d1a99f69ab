// What happens when the server goes, and comes again. libca looks for it after a time of its own, up to 15 s: so this is in real time, alone.

#include <cstdint>
#include <string>
#include <string_view>
#include <thread>

#include <gtest/gtest.h>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "catools/caget.h"
#include "catools/camonitor.h"
#include "catools/caput.h"
#include "catools/connect.h"
#include "cooperative/event_queue.h"
#include "cooperative/fiber.h"
#include "mothreads/ended_early.h"
#include "mothreads/signal.h"
#include "tests/catools/support/source.h"
#include "tests/catools/support/worlds.h"
#include "tests/support/watchdog.h"

namespace catools::testing {
namespace {

const absl::Duration kReconnection = absl::Seconds(60);  // fails when it is over
const absl::Duration kSoon = absl::Seconds(10);

template <typename Source>
class ReconnectionTest : public ::testing::Test {
 protected:
  static std::string pv(std::string_view name) { return std::string(Source::kPrefix) + std::string(name); }

  // Until the notice or value for which `is_it` holds.
  template <typename F>
  static Value await(Subscription& watch, F is_it) {
    for (;;) {
      Value value = watch.next(kReconnection).value();
      if (is_it(value)) return value;
    }
  }
};
TYPED_TEST_SUITE(ReconnectionTest, Sources);

TYPED_TEST(ReconnectionTest, ASubscriptionSurvivesARestart) {
  TypeParam source;
  caput(this->pv("other"), 44, {.wait = true});
  Subscription watch = camonitor(this->pv("other"), {.notify_disconnect = true});
  Subscription silent = camonitor(this->pv("other"));
  EXPECT_EQ(watch.next(kSoon).value().template as<int>(), 44);
  EXPECT_EQ(silent.next(kSoon).value().template as<int>(), 44);

  mothreads::testing::restart_watchdog();
  source.kill();
  const Value gone = watch.next(kSoon).value();
  EXPECT_FALSE(gone.ok());
  EXPECT_EQ(gone.code(), Code::disconnected);
  EXPECT_EQ(cainfo_each({this->pv("other")}, absl::ZeroDuration())[0].error().why(), mothreads::Why::timed_out);
  // Not sent: there is nobody. A verb that is called meanwhile waits for the server.
  EXPECT_THROW(static_cast<void>(caget(this->pv("other"), absl::Milliseconds(10))), mothreads::Timedout);

  source.start();
  const Value again = watch.next(kReconnection).value();
  EXPECT_TRUE(again.ok());
  EXPECT_EQ(again.as<int>(), 7);
  EXPECT_EQ(silent.next(kSoon).value().template as<int>(), 7);  // no notice: nobody asked
  caput(this->pv("other"), 8);
  EXPECT_EQ(watch.next(kSoon).value().template as<int>(), 8);
}

TYPED_TEST(ReconnectionTest, AWatchTellsTheEndAndTheReturnOfAServer) {
  TypeParam source;
  connect(this->pv("other"), kReconnection);
  cooperative::EventQueue<ChannelState> seen;
  const ConnectionWatch watch = watch_connection(this->pv("other"), [&](const Info& info) { seen.signal(info.state); });
  EXPECT_EQ(seen.wait(kSoon), ChannelState::connected);
  mothreads::testing::restart_watchdog();
  source.kill();
  EXPECT_EQ(seen.wait(kSoon), ChannelState::previously_connected);
  source.start();
  EXPECT_EQ(seen.wait(kReconnection), ChannelState::connected);
}

TYPED_TEST(ReconnectionTest, AVerbThatComesBeforeTheServerWaitsForIt) {
  TypeParam source;
  Subscription watch = camonitor(this->pv("other"), {.notify_disconnect = true});
  this->await(watch, [](const Value& v) { return v.ok(); });
  mothreads::testing::restart_watchdog();
  source.kill();
  this->await(watch, [](const Value& v) { return !v.ok(); });
  std::thread start([&] { source.start(); });
  auto fiber = cooperative::spawn("put", [&] { caput(this->pv("merged"), 9, {.wait = true}, kReconnection); });
  EXPECT_EQ(*caget_each<int>({this->pv("other")}, kReconnection)[0], 7);
  fiber.join();
  start.join();
  EXPECT_EQ(caget<int>(this->pv("merged")), 9);
}

TYPED_TEST(ReconnectionTest, AValueBeforeTheEndOfTheServerIsNotLost) {
  TypeParam source;
  Subscription watch = camonitor(this->pv("other"), {.notify_disconnect = true});
  static_cast<void>(watch.next(kReconnection).value());
  caput(this->pv("other"), 55, {.wait = true}, kReconnection);
  while (watch.info().updates < 2) absl::SleepFor(absl::Milliseconds(1));
  source.kill();
  while (watch.info().waiting < 2) absl::SleepFor(absl::Milliseconds(1));
  EXPECT_EQ(watch.next(kSoon).value().template as<int>(), 55);
  EXPECT_FALSE(watch.next(kSoon).value().ok());
}

TYPED_TEST(ReconnectionTest, AnotherTypeAfterARestartIsFollowed) {
  TypeParam source;
  Subscription number = camonitor(this->pv("double"), {.format = Format::time, .all_updates = true});
  Subscription text = camonitor(this->pv("string"));
  Subscription array = camonitor(this->pv("long"));
  const auto is_ok = [](const Value& value) { return value.ok(); };
  EXPECT_EQ(this->await(number, is_ok).data(), Data(3.5));
  EXPECT_EQ(this->await(text, is_ok).data(), Data(std::string("hello")));
  EXPECT_EQ(this->await(array, is_ok).data(), Data(std::int32_t{42}));

  mothreads::testing::restart_watchdog();
  source.restart("retyped.db");
  EXPECT_EQ(this->await(number, [](const Value& v) { return v.ok() && v.type() == Type::string; }).data(), Data(std::string("now a text")));
  EXPECT_EQ(this->await(text, [](const Value& v) { return v.ok() && v.type() == Type::enumeration; }).data(), Data(Enum{1}));
  EXPECT_TRUE(this->await(array, [](const Value& v) { return v.ok() && v.is_array(); }).is_array());
  EXPECT_EQ(caget(this->pv("double")).data(), Data(std::string("now a text")));
  EXPECT_EQ(cainfo(this->pv("string")).type, Type::enumeration);
  caput(this->pv("double"), "changed", {.wait = true});
  EXPECT_EQ(this->await(number, is_ok).data(), Data(std::string("changed")));
}

TYPED_TEST(ReconnectionTest, APutThatIsUnderWayEndsWithTheServer) {
  TypeParam source("slow.db");
  connect(this->pv("slow"), kReconnection);
  in_each_world([&] {
    mothreads::testing::restart_watchdog();
    std::thread killer([&] {
      // The put has arrived when the record says so.
      while (caget<int>(this->pv("slow.DLYA"), kReconnection) == 0) absl::SleepFor(absl::Milliseconds(1));
      source.kill();
    });
    try {
      caput(this->pv("slow.PROC"), 1, {.wait = true}, kReconnection);
      ADD_FAILURE() << "a put of 1000 s has ended";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Code::disconnected) << error.what();
      EXPECT_EQ(error.name(), this->pv("slow.PROC"));
    }
    killer.join();
    source.start("slow.db");
    mothreads::testing::restart_watchdog();
    connect(this->pv("slow"), kReconnection);
  });
}

TYPED_TEST(ReconnectionTest, APutThatIsUnderWayEndsWithASignalOrTheTime) {
  TypeParam source("slow.db");
  in_each_world([&] {
    mothreads::testing::restart_watchdog();
    EXPECT_THROW(caput(this->pv("slow.PROC"), 1, {.wait = true}, absl::Milliseconds(500)), mothreads::Timedout);
    mothreads::Signal stop;
    std::thread stopper([&] { stop.go(); });
    EXPECT_THROW(caput(this->pv("slower.PROC"), 1, {.wait = true}, stop | kReconnection), mothreads::Stopped);
    stopper.join();
  });
}

}  // namespace
}  // namespace catools::testing
