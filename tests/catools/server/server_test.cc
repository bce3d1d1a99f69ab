#include "catools/server/server.h"

#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/io_error.h"
#include "cooperative/io/socket.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/thread.h"
#include "mothreads/thread_group.h"
#include "tests/catools/server/ca_client.h"
#include "tests/support/exceptions.h"
#include "tests/support/virtual_time.h"

namespace catools::inline v0 {
namespace {

using internal::Command;
using mothreads::Misuse;
using mothreads::Signal;
using mothreads::testing::LogLines;
using mothreads::testing::what_of;
using testing::CaClient;
using testing::CaMessage;
using testing::message;
using testing::name_payload;
using testing::payload_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::uint16_t kDouble = 6;
constexpr std::uint32_t kNormal = 1;

// By a thread of the server's own, or by fibers of the test's.
class ServerTest : public testing::ServingTest, public ::testing::WithParamInterface<bool> {
 protected:
  ServerOptions options() const { return {.name = "server", .own_thread = GetParam()}; }
};
INSTANTIATE_TEST_SUITE_P(Threads, ServerTest, ::testing::Values(true, false), [](const auto& test) { return test.param ? "own" : "callers"; });

TEST_P(ServerTest, AClientReadsWritesAndMonitors) {
  Server server(options());
  Served<double> beam = server.add<double>("SIM:CURRENT", 300.0, {.units = "mA"});
  CaClient client(server.address());
  const CaClient::Channel channel = client.create("SIM:CURRENT").value();
  EXPECT_EQ(client.read(channel, kDouble).number_at<double>(0), 300);
  client.monitor(channel, kDouble, 7);
  EXPECT_EQ(client.next(Command::event_add).number_at<double>(0), 300);
  beam.set(299.5);
  EXPECT_EQ(client.next(Command::event_add).number_at<double>(0), 299.5);
  client.send({.command = Command::write, .type = kDouble, .count = 1, .first = channel.id, .second = 1}, payload_of<double>({12}));
  EXPECT_EQ(client.next(Command::event_add).number_at<double>(0), 12);
  EXPECT_EQ(beam.get(), 12);
  EXPECT_FALSE(client.create("SIM:OTHER"));
  server.stop().join();
  EXPECT_TRUE(server.stopped());
  EXPECT_FALSE(client.take());
}

TEST_P(ServerTest, ASearchFindsIt) {
  Server server(options());
  server.add<double>("SIM:A", 0.0);
  cooperative::Socket udp = cooperative::Socket::udp();
  udp.bind(cooperative::Address::loopback(0));
  const auto search = [&](std::string_view name, std::uint32_t id) {
    return message({.command = Command::search, .type = 5, .count = 13, .first = id, .second = id}, name_payload(name));
  };
  udp.send_to(search("SIM:NONE", 1), server.address());
  udp.send_to(search("SIM:A", 2), server.address());
  std::vector<std::byte> room(2000);
  const cooperative::Datagram got = udp.recv_from(room);
  const auto replies = testing::messages_in({reinterpret_cast<const char*>(room.data()), got.size});
  ASSERT_EQ(replies.size(), 2U);
  EXPECT_EQ(replies[1].header.second, 2U);
  EXPECT_EQ(replies[1].header.type, server.port());
}

TEST_P(ServerTest, UpdatesOfAnotherThreadComeInOrder) {
  constexpr int kUpdates = 2000;
  Server server(options());
  Served<std::int32_t> counter = server.add<std::int32_t>("SIM:COUNTER", 0);
  CaClient client(server.address());
  client.monitor(client.create("SIM:COUNTER").value(), 5, 7);
  EXPECT_EQ(client.next(Command::event_add).number_at<std::int32_t>(0), 0);
  auto setter = mothreads::Thread::run("setter", [&](Signal) {
    for (int i = 1; i <= kUpdates; ++i) counter.set(i);
  });
  std::int32_t last = 0;
  while (last < kUpdates) {
    const std::int32_t next = client.next(Command::event_add).number_at<std::int32_t>(0);
    ASSERT_GT(next, last);
    last = next;
  }
  setter.join();
}

TEST_P(ServerTest, AStormOfClients) {
  constexpr int kClients = 50;
  constexpr int kRounds = 20;
  Server server(options());
  std::vector<Served<std::int32_t>> pvs;
  for (int i = 0; i < kClients; ++i) pvs.push_back(server.add<std::int32_t>("PV" + std::to_string(i), i));
  std::vector<cooperative::Fiber<void>> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(cooperative::spawn("client " + std::to_string(i), [&server, i] {
      CaClient client(server.address());
      for (int k = 0; k < kRounds; ++k) {
        const CaClient::Channel channel = client.create("PV" + std::to_string((i + k) % kClients), k).value();
        const std::int32_t value = i * kRounds + k;
        ASSERT_EQ(client.put(channel, 5, 1, payload_of<std::int32_t>({value})), kNormal);
        ASSERT_EQ(client.read(channel, 5).header.first, kNormal);
      }
    }));
  }
  for (auto& client : clients) client.join();
  EXPECT_EQ(server.statistics().puts, std::uint64_t{kClients * kRounds});
  EXPECT_EQ(server.statistics().refused, 0U);
  server.stop().join();
  EXPECT_EQ(server.statistics().circuits + server.statistics().channels, 0U);
}

// A client that does not read its updates: others get theirs, and its own queue stays as long as it may be.
TEST_P(ServerTest, ASlowClientHoldsUpNobody) {
  constexpr int kSets = 100;
  ServerOptions few = options();
  few.monitor_queue = 4;
  Server server(few);
  const std::vector<double> large(50'000);
  Served<std::vector<double>> wave = server.add<std::vector<double>>("WAVE", large);
  Served<double> end = server.add<double>("END", 0);
  CaClient slow(server.address());
  slow.socket().set_receive_buffer(256 * 1024);
  const CaClient::Channel slow_wave = slow.create("WAVE").value();
  const CaClient::Channel slow_end = slow.create("END", 2).value();
  slow.monitor(slow_wave, kDouble, 1);
  slow.monitor(slow_end, kDouble, 2);
  CaClient quick(server.address());
  quick.monitor(quick.create("WAVE").value(), kDouble, 1);
  EXPECT_EQ(quick.next(Command::event_add).header.count, large.size());
  for (int i = 1; i <= kSets; ++i) {
    std::vector<double> next = large;
    next.front() = i;
    wave.set(next);
    while (quick.next(Command::event_add).number_at<double>(0) < i) {
    }
  }
  end.set(1);
  EXPECT_GT(server.statistics().dropped, 0U);
  // It gets a few of the old, and the last of both.
  double last_of_wave = 0;
  double last_of_end = 0;
  int updates = 0;
  while (last_of_wave < kSets || last_of_end < 1) {
    const CaMessage update = slow.next();
    if (update.header.command != Command::event_add) continue;
    ++updates;
    (update.header.second == 1 ? last_of_wave : last_of_end) = update.number_at<double>(0);
  }
  EXPECT_LT(updates, kSets / 2);
}

TEST_P(ServerTest, MalformedInputEndsItsCircuitAlone) {
  LogLines lines;
  Server server(options());
  server.add<double>("SIM:A", 1.0);
  CaClient good(server.address());
  const CaClient::Channel channel = good.create("SIM:A").value();
  {
    CaClient bad(server.address());
    bad.send({.command = static_cast<Command>(999)});
    EXPECT_THAT(bad.next(Command::error).text_at(16), HasSubstr("999"));
    EXPECT_FALSE(bad.take());
  }
  EXPECT_EQ(good.read(channel, kDouble).number_at<double>(0), 1);
  EXPECT_EQ(server.statistics().malformed, 1U);
}

TEST_P(ServerTest, AnEndInTheMiddleOfAMessage) {
  Server server(options());
  server.add<double>("SIM:A", 1.0);
  for (const std::size_t size : {1U, 15U, 16U, 20U}) {
    CaClient client(server.address());
    const std::string bytes = message({.command = Command::create_channel, .first = 1, .second = 13}, name_payload("SIM:A"));
    client.socket().write_all(std::string_view(bytes).substr(0, size));
    client.socket().shut_down_writing();
    EXPECT_FALSE(client.take());
  }
  EXPECT_EQ(server.statistics().malformed, 0U);
}

TEST_P(ServerTest, PvsComeAndGo) {
  Server server(options());
  server.add<double>("SIM:A", 1.0);
  CaClient client(server.address());
  const CaClient::Channel old = client.create("SIM:A", 9).value();
  EXPECT_TRUE(server.remove("SIM:A"));
  EXPECT_FALSE(server.remove("SIM:A"));
  EXPECT_EQ(client.next(Command::channel_gone).header.first, 9U);
  EXPECT_FALSE(client.create("SIM:A"));
  Served<std::string> text = server.add<std::string>("SIM:A", "new");
  const CaClient::Channel other = client.create("SIM:A").value();
  EXPECT_NE(other.id, old.id);
  EXPECT_EQ(client.read(other, 0).text_at(0), "new");
  EXPECT_THAT(server.names(), ElementsAre("SIM:A"));
  EXPECT_TRUE(text.is_served());
}

TEST_P(ServerTest, TwoServersOfOneProgram) {
  Server one(options());
  Server other(options());
  EXPECT_NE(one.port(), other.port());
  one.add<double>("SIM:A", 1.0);
  other.add<double>("SIM:A", 2.0);
  CaClient a(one.address());
  CaClient b(other.address());
  EXPECT_EQ(a.read(a.create("SIM:A").value(), kDouble).number_at<double>(0), 1);
  EXPECT_EQ(b.read(b.create("SIM:A").value(), kDouble).number_at<double>(0), 2);
}

TEST_P(ServerTest, APortThatIsTaken) {
  Server one(options());
  ServerOptions same = options();
  same.port = one.port();
  EXPECT_THAT(what_of<cooperative::IoError>([&] { Server other(same); }), HasSubstr(one.address().to_string()));
}

TEST_P(ServerTest, AStopInTheMiddleOfEverything) {
  std::optional<Server> server(options());
  Served<std::vector<double>> wave = server->add<std::vector<double>>("WAVE", std::vector<double>(100'000));
  CaClient client(server->address());
  const CaClient::Channel channel = client.create("WAVE").value();
  client.monitor(channel, kDouble, 1);
  static_cast<void>(client.next());
  for (int i = 0; i < 20; ++i) client.send({.command = Command::read_notify, .type = kDouble, .first = channel.id, .second = 1});
  wave.set(std::vector<double>(10));
  auto reader = cooperative::spawn("reader", [&] {
    while (client.take()) {
    }
  });
  server.reset();
  reader.join();
  wave.set(std::vector<double>(20));  // nobody sees it
  EXPECT_EQ(wave.get().size(), 20U);
}

// A put that was begun before the stop is answered.
TEST_P(ServerTest, APutUnderWayMayEnd) {
  Server server(options());
  Signal begun;
  Signal goes_on;
  server.add<double>("SIM:SLOW", 0.0, {.on_put = [&](double, const Signal&) {
                                         begun.go();
                                         goes_on.wait();
                                       }});
  CaClient client(server.address());
  const CaClient::Channel channel = client.create("SIM:SLOW").value();
  client.send({.command = Command::write_notify, .type = kDouble, .count = 1, .first = channel.id, .second = 1}, payload_of<double>({1}));
  begun.wait();
  server.stop();
  goes_on.go();
  EXPECT_EQ(client.next(Command::write_notify).header.first, kNormal);
  EXPECT_FALSE(client.take());
  server.join();
}

// Puts last longer than their clients, so those that wait are bounded for each variable; and other verbs of the client go on.
TEST_P(ServerTest, PutsThatWaitAreBounded) {
  Server server(options());
  Signal goes_on;
  server.add<double>("SIM:SLOW", 0.0, {.on_put = [&](double, const Signal&) { goes_on.wait(); }});
  server.add<double>("SIM:A", 1.0);
  CaClient client(server.address());
  const CaClient::Channel slow = client.create("SIM:SLOW").value();
  const CaClient::Channel other = client.create("SIM:A", 2).value();
  for (std::uint32_t i = 0; i < 40; ++i) {
    client.send({.command = Command::write_notify, .type = kDouble, .count = 1, .first = slow.id, .second = i}, payload_of<double>({1}));
  }
  for (std::uint32_t i = 32; i < 40; ++i) {
    const CaMessage refused = client.next(Command::write_notify);
    EXPECT_EQ(refused.header.second, i);
    EXPECT_NE(refused.header.first, kNormal);
  }
  EXPECT_EQ(client.read(other, kDouble).number_at<double>(0), 1);
  goes_on.go();
  for (std::uint32_t i = 0; i < 32; ++i) EXPECT_EQ(client.next(Command::write_notify).header.first, kNormal);
}

// A client that is slow, and reads in the end, gets all that waits for it; without that its circuit is cancelled at the end of the drain.
TEST_P(ServerTest, AtTheStopAClientHasTheDrainToReadWhatWaitsForIt) {
  for (const bool reads : {true, false}) {
    LogLines lines;
    mothreads::testing::on_virtual_time([&](mothreads::testing::VirtualClock& clock) {
      ServerOptions drains = options();
      drains.drain = absl::Seconds(4);
      Server server(drains);
      const std::vector<double> large(1'000'000, 1.5);
      server.add<std::vector<double>>("WAVE", large);
      CaClient client(server.address());
      client.socket().set_receive_buffer(256 * 1024);
      const CaClient::Channel channel = client.create("WAVE").value();
      client.send({.command = Command::read_notify, .type = kDouble, .first = channel.id, .second = 1});
      EXPECT_TRUE(client.socket().fill());  // the answer has begun
      server.stop();
      // The server listens until the drain begins.
      EXPECT_THROW(for (;;) static_cast<void>(cooperative::connect(server.address())), cooperative::IoError);
      auto time = mothreads::Thread::run("advancer", [&clock, by = absl::Seconds(reads ? 3 : 4)](const Signal&) {
        clock.await_timers(2);  // the deadline of the stop, and the end of the drain
        clock.advance(by);
      });
      time.join();
      if (reads) {
        const CaMessage answer = client.next(Command::read_notify);
        EXPECT_EQ(answer.numbers_at<double>(0, large.size()), large);
        EXPECT_FALSE(client.take());
      }
      server.join();
    });
    EXPECT_EQ(lines.with("did not read what waited for it").size(), reads ? 0U : 1U);
  }
}

TEST_P(ServerTest, AnAnnouncedStopTakesNoMoreClients) {
  Signal draining;
  ServerOptions drains = options();
  drains.draining = draining;
  Server server(drains);
  server.add<double>("SIM:A", 1.0);
  CaClient client(server.address());
  const CaClient::Channel channel = client.create("SIM:A").value();
  draining.go();
  EXPECT_EQ(client.read(channel, kDouble).number_at<double>(0), 1);
  EXPECT_FALSE(server.stopped());
  client.socket().close();
  server.join();  // the last client has gone
}

TEST_P(ServerTest, WhatIsMovedFromSaysSo) {
  Server server(options());
  Server other = std::move(server);
  EXPECT_THAT(what_of<Misuse>([&] { static_cast<void>(server.address()); }), HasSubstr("moved from"));
  other.add<double>("SIM:A", 1.0);
}

class OwnThreadServerTest : public testing::ServingTest {};

TEST_F(OwnThreadServerTest, ItServesWhileItsMakerDoesNotWait) {
  Server server("server");
  Served<double> a = server.add<double>("SIM:A", 1.0);
  std::atomic<bool> is_done = false;
  auto client = mothreads::Thread::run("client", [&](Signal) {
    CaClient side(server.address());
    const CaClient::Channel channel = side.create("SIM:A").value();
    static_cast<void>(side.put(channel, kDouble, 1, payload_of<double>({5})));
    is_done.store(true, std::memory_order_release);
  });
  while (!is_done.load(std::memory_order_acquire)) std::this_thread::yield();  // pairs with the store
  EXPECT_EQ(a.get(), 5);
  client.join();
}

TEST_F(OwnThreadServerTest, ItBelongsToItsParent) {
  std::optional<Server> server;
  {
    mothreads::ThreadGroup group("group");
    server.emplace(ServerOptions{.name = "server", .parent = group});
    group.stop().join();
    EXPECT_TRUE(server->stopped());
  }
}

}  // namespace
}  // namespace catools::inline v0
