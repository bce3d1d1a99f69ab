// WebSockets whose messages are given to functions: between two messages they need no fiber, and end as others do.

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/http/serve_http.h"
#include "cooperative/http/server.h"
#include "cooperative/http/websocket.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/io_error.h"
#include "cooperative/io/tls.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "tests/cooperative/http/websocket_hub.h"
#include "tests/cooperative/http/websocket_side.h"
#include "tests/cooperative/io/certificates.h"
#include "tests/support/nothing_left.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0::http {
namespace {

using mothreads::Misuse;
using mothreads::NEVER;
using mothreads::Signal;
using mothreads::Why;
using mothreads::testing::LogLines;
using mothreads::testing::on_virtual_time;
using mothreads::testing::VirtualClock;
using testing::echo;
using testing::frame;
using testing::Guest;
using testing::Hub;
using testing::kMuch;
using testing::kSoon;
using testing::pass;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class WebSocketRestsTest : public mothreads::testing::NothingLeft {};

// --- rests -------------------------------------------------------------------------------------------------------------------

TEST_F(WebSocketRestsTest, BetweenMessagesNoneNeedsAFiber) {
  on_virtual_time([](VirtualClock& clock) {
    Hub hub;
    Site site = serve_http(Address::loopback(0), hub.handler());
    std::vector<Socket> streams;
    streams.reserve(20);
    std::vector<WebSocket> clients;
    for (int i = 0; i < 20; ++i) {
      Socket& stream = streams.emplace_back(connect(site.address()));
      clients.push_back(connect_websocket(stream, "here", "/"));
      EXPECT_EQ(echo(clients.back(), "a"), "a");
      pass(clock, kSoon);
      Scheduler::current().set_options({.max_fibers = 3});  // the server, its keeper, and one turn
    }
    EXPECT_THAT(hub.members, SizeIs(20));
    for (WebSocket& client : clients) {
      EXPECT_EQ(echo(client, "b"), "b");
      pass(clock, kSoon);
    }
    clients[3].write_text("all");
    for (WebSocket& client : clients) EXPECT_EQ(client.read()->data, "to all");
    pass(clock, kSoon);
    clients[5].ping("?");
    pass(clock, kSoon);
    EXPECT_EQ(echo(clients[5], "c"), "c");
    EXPECT_EQ(clients[5].pongs(), 1u);
    pass(clock, kSoon);
    Scheduler::current().set_options({.max_fibers = 100});
    clients[6].close();
    EXPECT_EQ(clients[6].close_code(), WebSocket::kNormal);
    clients[7].write_text("bye");
    EXPECT_EQ(clients[7].read().why(), Why::closed);
    EXPECT_EQ(clients[7].close_code(), 4000);
    yield_until_idle();
    EXPECT_THAT(hub.members, SizeIs(18));
    EXPECT_THAT(hub.closed, ElementsAre(1000, 4000));
    site.stop();
    for (WebSocket& client : clients) EXPECT_EQ(client.read().why(), Why::closed);
    EXPECT_EQ(clients[0].close_code(), WebSocket::kGoingAway);
    for (Socket& stream : streams) stream.close();
    site.join();
    EXPECT_EQ(hub.gone, 20);
    EXPECT_THAT(hub.closed, SizeIs(20));
  });
}

// The same functions where the connection keeps its fiber.
TEST_F(WebSocketRestsTest, OnAConnectionWithAFiberToo) {
  on_virtual_time([](VirtualClock& clock) {
    Hub hub;
    const Handler handler = hub.handler({.close_limit = absl::Seconds(1), .idle_limit = absl::Seconds(9)});
    const Signal draining("draining");
    for (const bool drains : {false, true}) {
      auto [ours, theirs] = Socket::pair();
      auto server = spawn("server", [&, &theirs = theirs] { serve_http_connection(theirs, handler, {}, draining); });
      WebSocket client = connect_websocket(ours, "here", "/");
      EXPECT_EQ(echo(client, "a"), "a");
      pass(clock, absl::Seconds(9) - absl::Nanoseconds(1));
      EXPECT_EQ(echo(client, "b"), "b");
      if (drains) {
        static_cast<void>(draining.go());
      } else {
        pass(clock, absl::Seconds(9));
      }
      EXPECT_EQ(client.read().why(), Why::closed);
      EXPECT_EQ(client.close_code(), WebSocket::kGoingAway);
      ours.close();
      server.join();
    }
    EXPECT_EQ(hub.gone, 2);
    EXPECT_THAT(hub.closed, ElementsAre(1001, 1001));
  });
}

TEST_F(WebSocketRestsTest, TlsRestsToo) {
  const testing::Authority authority("authority");
  const TlsContext as_server = TlsContext::server({.identities = {authority.issue()}});
  const TlsContext as_client = TlsContext::client({.trusted = authority.pem()});
  on_virtual_time([&](VirtualClock& clock) {
    Hub hub;
    Site site = serve_http(Address::loopback(0), hub.handler(), {.tls = as_server, .drain = absl::Seconds(1)});
    {
      std::vector<TlsStream> streams;
      streams.reserve(4);
      std::vector<WebSocket> clients;
      for (int i = 0; i < 4; ++i) {
        TlsStream& stream = streams.emplace_back(TlsStream::connect(as_client, connect(site.address()), "server.test"));
        clients.push_back(connect_websocket(stream, "server.test", "/"));
        EXPECT_EQ(echo(clients.back(), "a"), "a");
        pass(clock, kSoon);
        Scheduler::current().set_options({.max_fibers = 3});
      }
      for (WebSocket& client : clients) {
        EXPECT_EQ(echo(client, "b"), "b");
        pass(clock, kSoon);
      }
      Scheduler::current().set_options({.max_fibers = 100});
      // The third does not answer the close, and has not taken what is written to it: the deadline comes.
      auto writer = spawn("writer", [&] { hub.members[2]->write_text(kMuch); });
      yield_until_idle();
      site.stop();
      for (WebSocket* const client : {&clients[0], &clients[1], &clients[3]}) {
        EXPECT_EQ(client->read().why(), Why::closed);
        EXPECT_EQ(client->close_code(), WebSocket::kGoingAway);
      }
      pass(clock, absl::Seconds(1));
      EXPECT_THROW(writer.join(), Closed);
    }
    site.join();
    EXPECT_EQ(hub.gone, 4);
    EXPECT_THAT(hub.closed, SizeIs(3));
  });
}

// A Signal of its own has no way to end a rest.
TEST_F(WebSocketRestsTest, WithADrainOfItsOwnItKeepsItsFiber) {
  on_virtual_time([](VirtualClock& clock) {
    Hub hub;
    const Signal its_own("its own");
    for (const Signal& draining : {its_own, NEVER}) {
      Guest guest(hub, clock, {.draining = draining}, {.drain = absl::Seconds(1)});
      pass(clock, absl::Seconds(1));
      if (draining == NEVER) {
        guest.site.stop();
        yield_until_idle();
        EXPECT_EQ(echo(guest.client, "it goes on"), "it goes on");
        pass(clock, absl::Seconds(1));
        EXPECT_THROW(static_cast<void>(guest.client.read().value()), std::exception);
      } else {
        its_own.go();
        EXPECT_EQ(guest.client.read().why(), Why::closed);
        EXPECT_EQ(guest.client.close_code(), WebSocket::kGoingAway);
      }
      guest.stream.close();
      guest.site.stop().join();
    }
    EXPECT_EQ(hub.gone, 2);
  });
}

// --- how they end ------------------------------------------------------------------------------------------------------------

TEST_F(WebSocketRestsTest, AFunctionThatThrowsEndsItsWebSocket) {
  LogLines log;
  on_virtual_time([](VirtualClock& clock) {
    Hub hub;
    Guest guest(hub, clock);
    guest.client.write_text("throw");
    guest.client.write_text("is dropped");
    EXPECT_EQ(guest.client.read().why(), Why::closed);
    EXPECT_EQ(guest.client.close_code(), WebSocket::kFailed);
    guest.stream.close();
    yield_until_idle();
    EXPECT_EQ(hub.gone, 1);
    EXPECT_THAT(hub.got, ElementsAre("first", "throw"));
    EXPECT_THAT(hub.closed, SizeIs(1));
    guest.site.stop().join();
  });
  EXPECT_THAT(log.with("a message that nobody likes"), SizeIs(1));
}

TEST_F(WebSocketRestsTest, OnOpenAndOnCloseMayThrowToo) {
  LogLines log;
  on_virtual_time([](VirtualClock&) {
    const auto handler = [](Request& request) {
      return accept_websocket(request, {.on_message = [](WebSocket&, const WebSocketMessage&) { ADD_FAILURE(); },
                                        .on_open = [](WebSocket&) { throw std::runtime_error("at its begin"); },
                                        .on_close = [](WebSocket&) { throw std::runtime_error("at its end"); }});
    };
    Site site = serve_http(Address::loopback(0), handler);
    Socket stream = connect(site.address());
    WebSocket client = connect_websocket(stream, "here", "/");
    client.write_text("is dropped");
    EXPECT_EQ(client.read().why(), Why::closed);
    EXPECT_EQ(client.close_code(), WebSocket::kFailed);
    stream.close();
    site.stop().join();
  });
  EXPECT_THAT(log.with("at its begin"), SizeIs(1));
  EXPECT_THAT(log.with("at its end"), SizeIs(1));
}

TEST_F(WebSocketRestsTest, WhatFunctionsMustNotDo) {
  LogLines log;
  on_virtual_time([](VirtualClock& clock) {
    EXPECT_THROW(static_cast<void>(accept_websocket(Request::make("GET", "/"), WebSocketHandler{})), Misuse);
    Hub hub;
    Guest guest(hub, clock);
    EXPECT_THROW(static_cast<void>(hub.members.front()->read()), Misuse);
    EXPECT_THROW(static_cast<void>(guest.client.fibers()), Misuse);
    guest.client.write_text("read");
    EXPECT_EQ(guest.client.read().why(), Why::closed);
    EXPECT_EQ(guest.client.close_code(), WebSocket::kFailed);
    guest.stream.close();
    guest.site.stop().join();
  });
  EXPECT_THAT(log.with("take them in on_message"), SizeIs(1));
}

TEST_F(WebSocketRestsTest, PingsAreNoSilence) {
  on_virtual_time([](VirtualClock& clock) {
    Hub hub;
    Guest guest(hub, clock, {.idle_limit = absl::Seconds(5)});
    for (int i = 0; i < 4; ++i) {
      pass(clock, absl::Seconds(4));
      guest.client.ping();
    }
    yield_until_idle();
    EXPECT_EQ(echo(guest.client, "b"), "b");
    EXPECT_EQ(guest.client.pongs(), 4u);
    pass(clock, kSoon);
    pass(clock, absl::Seconds(5) - kSoon - absl::Nanoseconds(1));
    EXPECT_THAT(hub.members, SizeIs(1));
    pass(clock, absl::Nanoseconds(1));
    EXPECT_EQ(guest.client.read().why(), Why::closed);
    EXPECT_EQ(guest.client.close_code(), WebSocket::kGoingAway);
    yield_until_idle();
    EXPECT_THAT(hub.closed, ElementsAre(1001));
    guest.stream.close();
    guest.site.stop().join();
  });
}

TEST_F(WebSocketRestsTest, RulesHoldAfterARest) {
  on_virtual_time([](VirtualClock& clock) {
    for (const auto& [bytes, code] : {std::pair(frame(0x81, std::string(11, 'x')), WebSocket::kTooBig),
                                      std::pair(frame(0x01, "123456") + frame(0x80, "789012"), WebSocket::kTooBig),
                                      std::pair(frame(0x81, "\xFF"), WebSocket::kBadData), std::pair(frame(0x83, ""), WebSocket::kProtocolError)}) {
      Hub hub;
      Guest guest(hub, clock, {.max_message = 10});
      for (const char byte : bytes) {
        guest.stream.write_all(std::string_view(&byte, 1));
        pass(clock, kSoon);
      }
      EXPECT_EQ(guest.client.read().why(), Why::closed);
      EXPECT_EQ(guest.client.close_code(), code);
      guest.stream.close();
      yield_until_idle();
      EXPECT_THAT(hub.got, ElementsAre("first"));
      EXPECT_THAT(hub.closed, ElementsAre(code));
      guest.site.stop().join();
    }
  });
}

// Messages that come behind the close of 1001 are given to on_message; the limit is the same as for a fiber that reads.
TEST_F(WebSocketRestsTest, ADrainGoesAwayAndTakesWhatStillComes) {
  LogLines log;
  on_virtual_time([](VirtualClock& clock) {
    for (const bool answers : {true, false}) {
      Hub hub;
      const Signal draining("draining");
      Guest guest(hub, clock, {.close_limit = absl::Seconds(4)}, {.draining = draining});
      draining.go();
      pass(clock, absl::Seconds(4) - absl::Nanoseconds(1));
      guest.stream.write_all(frame(0x81, "late"));
      yield_until_idle();
      EXPECT_THAT(hub.got, ElementsAre("first", "late"));
      EXPECT_THAT(hub.closed, IsEmpty());
      if (answers) {
        EXPECT_EQ(guest.client.read().why(), Why::closed);
        EXPECT_EQ(guest.client.close_code(), WebSocket::kGoingAway);
      } else {
        pass(clock, absl::Nanoseconds(1));
      }
      yield_until_idle();
      EXPECT_THAT(hub.closed, ElementsAre(answers ? 1001 : 1006));
      guest.stream.close();
      guest.site.join();
      EXPECT_EQ(hub.gone, 1);
    }
  });
  EXPECT_THAT(log.with("fail"), IsEmpty());
}

TEST_F(WebSocketRestsTest, AtTheDeadlineTheFunctionsAreDestroyed) {
  on_virtual_time([](VirtualClock& clock) {
    for (const absl::Duration drain : {absl::ZeroDuration(), absl::Seconds(1)}) {
      Hub hub;
      Guest guest(hub, clock, {}, {.drain = drain});
      guest.site.stop();
      pass(clock, drain);
      EXPECT_EQ(hub.gone, 1);
      EXPECT_THAT(hub.closed, IsEmpty());
      guest.site.join();
    }
  });
}

}  // namespace
}  // namespace cooperative::http
