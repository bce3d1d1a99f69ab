// Connections that are silent between two requests need no fiber.

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/fiber.h"
#include "cooperative/http/client.h"
#include "cooperative/http/serve_http.h"
#include "cooperative/http/server.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/tls.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "mothreads/signal.h"
#include "tests/cooperative/http/serving.h"
#include "tests/cooperative/io/certificates.h"
#include "tests/support/nothing_left.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0::http {
namespace {

using mothreads::Signal;
using mothreads::testing::on_virtual_time;
using mothreads::testing::VirtualClock;
using testing::say_hello;
using ::testing::HasSubstr;

class RestsTest : public mothreads::testing::NothingLeft {};

// As long as a connection keeps its fiber after an answer.
constexpr absl::Duration kSoon = absl::Milliseconds(10);

void pass(VirtualClock& clock, absl::Duration duration) {
  yield_until_idle();
  clock.advance(duration);
  yield_until_idle();
}

std::string ask(Stream& client, const std::string& path) {
  client.write_all("GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n");
  return *client.read_until("hello " + path);
}

TEST_F(RestsTest, AConnectionBetweenRequestsNeedsNoFiber) {
  on_virtual_time([](VirtualClock& clock) {
    Site site = serve_http(Address::loopback(0), say_hello);
    std::vector<Socket> clients;
    for (int i = 0; i < 40; ++i) {
      Socket& client = clients.emplace_back(connect(site.address()));
      EXPECT_THAT(ask(client, "/a"), HasSubstr(" 200 "));
      pass(clock, kSoon);
      Scheduler::current().set_options({.max_fibers = 3});  // the server, its keeper, and one turn
    }
    for (Socket& client : clients) {
      EXPECT_THAT(ask(client, "/b"), HasSubstr(" 200 "));
      pass(clock, kSoon);
    }
    Scheduler::current().set_options({.max_fibers = 100});
    site.stop();
    for (Socket& client : clients) EXPECT_EQ(*client.read_all(10), "");
    site.join();
  });
}

TEST_F(RestsTest, OneThatIsAskedAgainAtOnceKeepsItsFiber) {
  on_virtual_time([](VirtualClock& clock) {
    Site site = serve_http(Address::loopback(0), say_hello);
    Socket client = connect(site.address());
    EXPECT_THAT(ask(client, "/a"), HasSubstr(" 200 "));
    pass(clock, kSoon - absl::Nanoseconds(1));
    Scheduler::current().set_options({.max_fibers = 2});  // the server, and the connection's: a rest would end for want of a third
    for (int i = 0; i < 10; ++i) {
      EXPECT_THAT(ask(client, "/b"), HasSubstr(" 200 "));
      pass(clock, kSoon - absl::Nanoseconds(1));
    }
    Scheduler::current().set_options({.max_fibers = 10});
    client.close();
    site.stop().join();
  });
}

TEST_F(RestsTest, TheIdleLimitCountsFromTheAnswer) {
  for (const absl::Duration before : {absl::ZeroDuration(), kSoon / 2, kSoon, kSoon * 3}) {
    on_virtual_time([&](VirtualClock& clock) {
      ServeOptions options;
      options.connection.idle_limit = absl::Seconds(5);
      Site site = serve_http(Address::loopback(0), say_hello, std::move(options));
      Socket client = connect(site.address());
      EXPECT_THAT(ask(client, "/a"), HasSubstr(" 200 "));
      pass(clock, before);
      EXPECT_THAT(ask(client, "/b"), HasSubstr(" 200 "));
      pass(clock, kSoon);
      pass(clock, absl::Seconds(5) - kSoon - absl::Nanoseconds(1));
      EXPECT_THAT(ask(client, "/c"), HasSubstr(" 200 "));
      pass(clock, kSoon);
      pass(clock, absl::Seconds(5) - kSoon);
      EXPECT_EQ(*client.read_all(10), "");
      site.stop().join();
    });
  }
}

// An empty line, or half a head, is no end of a rest's connection.
TEST_F(RestsTest, ARequestMayComeInPiecesAfterARest) {
  on_virtual_time([](VirtualClock& clock) {
    Site site = serve_http(Address::loopback(0), say_hello);
    Socket client = connect(site.address());
    EXPECT_THAT(ask(client, "/a"), HasSubstr(" 200 "));
    for (const std::string piece : {"\r\n", "GE", "T /b HTTP/1.1\r\n", "Host: a\r\n\r\n"}) {
      pass(clock, kSoon);
      client.write_all(piece);
    }
    EXPECT_THAT(*client.read_until("hello /b"), HasSubstr(" 200 "));
    pass(clock, kSoon);
    client.write_all("no request\r\n\r\n");
    EXPECT_THAT(*client.read_all(1000), HasSubstr(" 400 "));
    client.close();
    site.stop().join();
  });
}

TEST_F(RestsTest, EndsOfKindsEndARest) {
  on_virtual_time([](VirtualClock& clock) {
    const Signal draining("draining"), of_connections("of connections");
    ServeOptions options{.draining = draining};
    options.connection.draining = of_connections;
    Site site = serve_http(Address::loopback(0), say_hello, std::move(options));
    Socket leaves = connect(site.address());
    Socket resets = connect(site.address());
    Socket stays = connect(site.address());
    for (Socket* const client : {&leaves, &resets, &stays}) EXPECT_THAT(ask(*client, "/a"), HasSubstr(" 200 "));
    pass(clock, kSoon);
    leaves.shut_down_writing();
    EXPECT_EQ(*leaves.read_all(10), "");
    resets.abort();
    pass(clock, kSoon);
    EXPECT_THAT(ask(stays, "/a"), HasSubstr(" 200 "));
    pass(clock, kSoon);
    of_connections.go();
    EXPECT_EQ(*stays.read_all(10), "");
    EXPECT_FALSE(site.stopped());
    draining.go();
    site.join();
  });
}

TEST_F(RestsTest, TlsRestsToo) {
  const testing::Authority authority("authority");
  const TlsContext as_server = TlsContext::server({.identities = {authority.issue()}});
  const TlsContext as_client = TlsContext::client({.trusted = authority.pem()});
  on_virtual_time([&](VirtualClock& clock) {
    Site site = serve_http(Address::loopback(0), say_hello, {.tls = as_server});
    {
      std::vector<TlsStream> clients;
      for (int i = 0; i < 5; ++i) {
        TlsStream& client = clients.emplace_back(TlsStream::connect(as_client, connect(site.address()), "server.test"));
        EXPECT_THAT(ask(client, "/a"), HasSubstr(" 200 "));
        pass(clock, kSoon);
        Scheduler::current().set_options({.max_fibers = 3});
      }
      for (TlsStream& client : clients) {
        EXPECT_THAT(ask(client, "/b"), HasSubstr(" 200 "));
        pass(clock, kSoon);
      }
      site.stop();
      for (TlsStream& client : clients) EXPECT_EQ(*client.read_all(10), "") << "and says that it ends";
    }
    Scheduler::current().set_options({.max_fibers = 10});
    site.join();
  });
}

// A part of a record ends a rest for a moment, and is not lost.
TEST_F(RestsTest, APartOfARecordIsKept) {
  const testing::Authority authority("authority");
  const TlsContext as_server = TlsContext::server({.identities = {authority.issue()}});
  const TlsContext as_client = TlsContext::client({.trusted = authority.pem()});
  on_virtual_time([&](VirtualClock& clock) {
    ServeOptions options{.tls = as_server};
    options.connection.idle_limit = absl::Seconds(5);
    Site site = serve_http(Address::loopback(0), say_hello, std::move(options));
    // What the client says goes by a pair of sockets, so that it can be cut.
    std::pair<Socket, Socket> pair = Socket::pair();
    Socket& inner = pair.first;
    Socket& outer = pair.second;
    Socket wire = connect(site.address());
    auto to_client = spawn("to the client", [&] {
      std::vector<std::byte> room(4096);
      while (const Received got = wire.read_some(room)) outer.write_all(std::span<const std::byte>(room).first(got.size()));
      outer.close();
    });
    const auto send = [&](std::size_t first) {
      std::vector<std::byte> room(4096);
      const std::size_t size = outer.read_some(room).size();
      wire.write_all(std::span<const std::byte>(room).first(std::min(first, size)));
      return std::vector<std::byte>(room.begin() + static_cast<std::ptrdiff_t>(std::min(first, size)), room.begin() + static_cast<std::ptrdiff_t>(size));
    };
    auto handshake = spawn("handshake", [&] { return TlsStream::connect(as_client, std::move(inner), "server.test"); });
    while (handshake.is_alive()) {
      if (outer.readable_bytes() > 0) send(4096);
      yield_until_idle(absl::ZeroDuration());
    }
    TlsStream client = handshake.join();
    client.write_all("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    send(4096);
    EXPECT_THAT(*client.read_until("hello /a"), HasSubstr(" 200 "));
    pass(clock, kSoon);
    pass(clock, absl::Seconds(3));
    client.write_all("GET /b HTTP/1.1\r\nHost: a\r\n\r\n");
    const std::vector<std::byte> second_half = send(10);
    pass(clock, absl::Seconds(1));
    wire.write_all(second_half);
    EXPECT_THAT(*client.read_until("hello /b"), HasSubstr(" 200 "));
    // Parts of a record do not make it longer.
    pass(clock, kSoon);
    client.write_all("GET /c HTTP/1.1\r\nHost: a\r\n\r\n");
    pass(clock, absl::Seconds(3));
    send(10);
    pass(clock, absl::Seconds(2) - kSoon);
    EXPECT_EQ(*client.read_all(10), "");
    to_client.join();
    site.stop().join();
  });
}

// Both are in memory when the first is answered, and no edge comes for the second.
TEST_F(RestsTest, TwoRequestsInTwoRecordsAtOnce) {
  const testing::Authority authority("authority");
  const TlsContext as_server = TlsContext::server({.identities = {authority.issue()}});
  const TlsContext as_client = TlsContext::client({.trusted = authority.pem()});
  on_virtual_time([&](VirtualClock& clock) {
    Site site = serve_http(Address::loopback(0), say_hello, {.tls = as_server});
    TlsStream client = TlsStream::connect(as_client, connect(site.address()), "server.test");
    EXPECT_THAT(ask(client, "/a"), HasSubstr(" 200 "));
    pass(clock, kSoon);
    pass(clock, kSoon * 2);
    client.write_all("GET /b HTTP/1.1\r\nHost: a\r\n\r\n");
    client.write_all("GET /c HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_THAT(*client.read_until("hello /b"), HasSubstr(" 200 "));
    EXPECT_THAT(*client.read_until("hello /c"), HasSubstr(" 200 "));
    client.close();
    site.stop().join();
  });
}

// The keeper of those that rest is in the middle of a turn then.
TEST_F(RestsTest, ADrainThatAHandlerBegins) {
  on_virtual_time([](VirtualClock& clock) {
    const Signal draining("draining");
    const auto handler = [&](Request& request) {
      if (request.target() == "/drain") draining.go();
      return say_hello(request);
    };
    Site site = serve_http(Address::loopback(0), handler, {.draining = draining});
    Socket first = connect(site.address());
    Socket second = connect(site.address());
    Socket drains = connect(site.address());
    for (Socket* const client : {&first, &second, &drains}) {
      EXPECT_THAT(ask(*client, "/a"), HasSubstr(" 200 "));
      pass(clock, kSoon);
    }
    EXPECT_THAT(ask(drains, "/drain"), HasSubstr(" 200 "));
    for (Socket* const client : {&first, &second, &drains}) {
      EXPECT_EQ(*client->read_all(10), "");
      client->close();
    }
    site.join();
  });
}

}  // namespace
}  // namespace cooperative::http
