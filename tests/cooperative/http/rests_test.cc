// Connections that are silent need no fiber: HTTP between two requests, a WebSocket between two messages.

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/http/client.h"
#include "cooperative/http/serve_http.h"
#include "cooperative/http/server.h"
#include "cooperative/http/websocket.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/tls.h"
#include "cooperative/sleep.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "tests/cooperative/http/serving.h"
#include "tests/cooperative/io/certificates.h"
#include "tests/support/log_lines.h"
#include "tests/support/nothing_left.h"
#include "tests/support/virtual_time.h"

namespace cooperative::http {
namespace {

using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Why;
using mothreads::testing::LogLines;
using mothreads::testing::on_virtual_time;
using mothreads::testing::VirtualClock;
using testing::say_hello;
using ::testing::HasSubstr;
using ::testing::SizeIs;

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
      set_max_fibers(3);  // the server, its keeper, and one turn
    }
    for (Socket& client : clients) {
      EXPECT_THAT(ask(client, "/b"), HasSubstr(" 200 "));
      pass(clock, kSoon);
    }
    set_max_fibers(100);
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
    set_max_fibers(2);  // the server, and the connection's: a rest would end for want of a third
    for (int i = 0; i < 10; ++i) {
      EXPECT_THAT(ask(client, "/b"), HasSubstr(" 200 "));
      pass(clock, kSoon - absl::Nanoseconds(1));
    }
    set_max_fibers(10);
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
        set_max_fibers(3);
      }
      for (TlsStream& client : clients) {
        EXPECT_THAT(ask(client, "/b"), HasSubstr(" 200 "));
        pass(clock, kSoon);
      }
      site.stop();
      for (TlsStream& client : clients) EXPECT_EQ(*client.read_all(10), "") << "and says that it ends";
    }
    set_max_fibers(10);
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

// --- WebSockets whose messages are given to functions -----------------------------------------------------------------------

// Whoever has said something gets it back; whoever says "all" writes to all.
struct Hub {
  std::vector<WebSocket*> members;
  int gone = 0;

  Response accept(const Request& request, const WebSocketOptions& options = {}) {
    struct Member {
      explicit Member(Hub& its_hub) : hub(&its_hub) {}
      Member(const Member&) = delete;
      Member& operator=(const Member&) = delete;
      Hub* hub;
      WebSocket* socket = nullptr;
      ~Member() {
        ++hub->gone;
        std::erase(hub->members, socket);
      }
    };
    auto member = std::make_shared<Member>(*this);
    return accept_websocket(request,
                            {.on_message =
                                 [this, member](WebSocket& socket, WebSocketMessage message) {
                                   if (message.data == "throw") throw std::runtime_error("a message that nobody likes");
                                   if (message.data == "bye") return socket.close(4000);
                                   if (message.data != "all") return socket.write_text(message.data);
                                   for (WebSocket* one : members) one->write_text("to all");
                                 },
                             .on_open =
                                 [this, member](WebSocket& socket) {
                                   member->socket = &socket;
                                   members.push_back(&socket);
                                 }},
                            options);
  }
  Handler handler(const WebSocketOptions& options = {}) {
    return [this, options](Request& request) { return accept(request, options); };
  }
};

std::string echo(WebSocket& socket, std::string_view text) {
  socket.write_text(text);
  return socket.read()->data;
}

TEST_F(RestsTest, AWebSocketBetweenMessagesNeedsNoFiber) {
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
      set_max_fibers(3);
    }
    EXPECT_THAT(hub.members, SizeIs(20));
    for (WebSocket& client : clients) {
      EXPECT_EQ(echo(client, "b"), "b");
      pass(clock, kSoon);
    }
    clients[3].write_text("all");
    for (WebSocket& client : clients) EXPECT_EQ(client.read()->data, "to all");
    pass(clock, kSoon);
    set_max_fibers(30);
    clients[5].ping("?");
    pass(clock, kSoon);
    EXPECT_EQ(echo(clients[5], "c"), "c");
    EXPECT_EQ(clients[5].pongs(), 1u);
    clients[6].close();
    EXPECT_EQ(clients[6].close_code(), WebSocket::kNormal);
    clients[7].write_text("bye");
    EXPECT_EQ(clients[7].read().why(), Why::closed);
    EXPECT_EQ(clients[7].close_code(), 4000);
    yield_until_idle();
    EXPECT_THAT(hub.members, SizeIs(18));
    site.stop();
    for (WebSocket& client : clients) EXPECT_EQ(client.read().why(), Why::closed);
    EXPECT_EQ(clients[0].close_code(), WebSocket::kGoingAway);
    for (Socket& stream : streams) stream.close();
    site.join();
    EXPECT_EQ(hub.gone, 20);
  });
}

// The same functions where the connection keeps its fiber.
TEST_F(RestsTest, TheSameOnAConnectionWithAFiber) {
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
  });
}

TEST_F(RestsTest, AFunctionThatThrowsEndsItsWebSocket) {
  LogLines log;
  on_virtual_time([](VirtualClock& clock) {
    Hub hub;
    Site site = serve_http(Address::loopback(0), hub.handler());
    Socket stream = connect(site.address());
    WebSocket client = connect_websocket(stream, "here", "/");
    pass(clock, kSoon);
    client.write_text("throw");
    EXPECT_EQ(client.read().why(), Why::closed);
    EXPECT_EQ(client.close_code(), WebSocket::kFailed);
    stream.close();
    yield_until_idle();
    EXPECT_EQ(hub.gone, 1);
    EXPECT_THROW(static_cast<void>(accept_websocket(Request::make("GET", "/"), WebSocketHandler{})), Misuse);
    site.stop().join();
  });
  EXPECT_THAT(log.with("a message that nobody likes"), SizeIs(1));
}

// Another fiber of the thread may close it, or be cut in a write, while no fiber reads.
TEST_F(RestsTest, AnotherFiberEndsAWebSocketThatRests) {
  on_virtual_time([](VirtualClock& clock) {
    Hub hub;
    Site site = serve_http(Address::loopback(0), hub.handler());
    for (const bool is_cut : {false, true}) {
      Socket stream = connect(site.address());
      WebSocket client = connect_websocket(stream, "here", "/");
      EXPECT_EQ(echo(client, "a"), "a");
      pass(clock, kSoon);
      WebSocket& member = *hub.members.front();
      if (is_cut) {
        const std::string much(8'000'000, 'x');
        EXPECT_THROW(member.write_text(much, absl::ZeroDuration()), WriteTimedout);
        stream.close();
      } else {
        auto closes = spawn("closes", [&] { member.close(); });
        EXPECT_EQ(client.read().why(), Why::closed);
        closes.join();
        stream.close();
      }
      pass(clock, absl::Seconds(5));
      EXPECT_THAT(hub.members, SizeIs(0));
    }
    EXPECT_EQ(hub.gone, 2);
    site.stop().join();
  });
}

// Who is in the middle of a write when it ends gets Closed.
TEST_F(RestsTest, AWriterWithoutRoomIsLetGoAtTheEnd) {
  on_virtual_time([](VirtualClock& clock) {
    Hub hub;
    Site site = serve_http(Address::loopback(0), hub.handler({.close_limit = absl::Seconds(1)}));
    Socket stream = connect(site.address());
    WebSocket client = connect_websocket(stream, "here", "/");
    pass(clock, kSoon);
    const std::string much(8'000'000, 'x');
    auto writer = spawn("writer", [&] { hub.members.front()->write_text(much); });
    yield_until_idle();
    client.write_text("throw");
    pass(clock, absl::Seconds(1));
    EXPECT_THROW(writer.join(), std::exception);
    EXPECT_EQ(hub.gone, 1);
    stream.close();
    site.stop().join();
  });
}

}  // namespace
}  // namespace cooperative::http
