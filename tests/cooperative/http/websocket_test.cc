#include "cooperative/http/websocket.h"

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/fiber_group.h"
#include "cooperative/http/internal/websocket_key.h"
#include "cooperative/http/server.h"
#include "cooperative/io/socket.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "mothreads/misuse.h"
#include "tests/cooperative/http/serving.h"
#include "tests/cooperative/http/websocket_side.h"
#include "tests/support/exceptions.h"
#include "tests/support/nothing_left.h"
#include "tests/support/scripted_stream.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0::http {
namespace {

using mothreads::Misuse;
using mothreads::Why;
using mothreads::testing::on_virtual_time;
using mothreads::testing::VirtualClock;
using mothreads::testing::what_of;
using testing::frame;
using testing::ScriptedStream;
using testing::server_side;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using namespace std::string_literals;

class WebSocketTest : public mothreads::testing::NothingLeft {
 protected:
  WebSocketTest() { static_cast<void>(Scheduler::current()); }  // the main thread's stays
};

// --- the handshake -----------------------------------------------------------------------------------------------------------

const std::string kAsk =
    "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: soap, wamp\r\n\r\n";

TEST(SameOriginTest, ComparesTheHostAndThePortOfAPage) {
  const auto is_same = [](std::vector<std::string> origins, std::string_view host = "a.example:8080") {
    Headers headers;
    headers.add("Host", host);
    for (const std::string& origin : origins) headers.add("Origin", origin);
    return is_same_origin(Request::make("GET", "/", {.headers = std::move(headers)}));
  };
  EXPECT_TRUE(is_same({}));
  EXPECT_TRUE(is_same({"http://a.example:8080"}));
  EXPECT_TRUE(is_same({"http://A.EXAMPLE:8080"}));
  EXPECT_TRUE(is_same({"https://a.example"}, "a.example"));
  EXPECT_TRUE(is_same({"http://[::1]:8080"}, "[::1]:8080"));
  EXPECT_FALSE(is_same({"http://a.example"}));
  EXPECT_FALSE(is_same({"http://a.example:8081"}));
  EXPECT_FALSE(is_same({"http://b.example:8080"}));
  EXPECT_FALSE(is_same({"http://a.example:8080.b.example"}));
  EXPECT_FALSE(is_same({"null"}));
  EXPECT_FALSE(is_same({""}));
  EXPECT_FALSE(is_same({"http://a.example:8080", "http://b.example"}));
  EXPECT_FALSE(is_same({"a.example:8080"}));
}

Response echo(Request& request) {
  return accept_websocket(request, [](WebSocket& socket) {
    while (auto message = socket.read()) message->is_text ? socket.write_text(message->data) : socket.write_binary(message->data);
  }, {.protocols = {"other", "wamp"}});
}

TEST_F(WebSocketTest, TheHandshakeOfTheStandard) {
  EXPECT_EQ(internal::websocket_accept_of("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  const testing::Served served = testing::serve(kAsk + frame(0x81, "hello") + frame(0x88, "\x03\xE8"), echo, {}, 7);
  EXPECT_THAT(served.output, StartsWith("HTTP/1.1 101 Switching Protocols\r\n"));
  EXPECT_THAT(served.output, HasSubstr("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
  EXPECT_THAT(served.output, HasSubstr("\r\nSec-WebSocket-Protocol: wamp\r\n"));
  EXPECT_THAT(served.output, ::testing::EndsWith("\r\n\r\n\x81\x05hello\x88\x02\x03\xE8"));
  EXPECT_TRUE(served.is_closed);
}

TEST_F(WebSocketTest, WhatIsNoHandshake) {
  const auto status_of = [](const std::string& from, const std::string& to) {
    std::string ask = kAsk;
    ask.replace(ask.find(from), from.size(), to);
    return testing::serve(ask, echo).statuses();
  };
  EXPECT_THAT(status_of("GET", "POST"), ElementsAre(405));
  EXPECT_THAT(status_of("Upgrade: websocket", "Upgrade: h2c"), ElementsAre(426));
  EXPECT_THAT(status_of("keep-alive, Upgrade", "keep-alive"), ElementsAre(426));
  EXPECT_THAT(status_of("HTTP/1.1", "HTTP/1.0"), ElementsAre(426));
  EXPECT_THAT(status_of("Version: 13", "Version: 8"), ElementsAre(426));
  EXPECT_THAT(status_of("Sec-WebSocket-Key:", "X:"), ElementsAre(400));
  EXPECT_THAT(status_of("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ"), ElementsAre(400));
  EXPECT_THAT(status_of("dGhlIHNhbXBsZSBub25jZQ==", "dGhl!HNhbXBsZSBub25jZQ=="), ElementsAre(400));
  EXPECT_THAT(status_of("Host: a\r\n", "Host: a\r\nContent-Length: 1\r\n"), ElementsAre(400));
}

TEST_F(WebSocketTest, WhatAServersAnswerMustSay) {
  for (const char* const answer : {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
                                   "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
                                   "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"}) {
    ScriptedStream stream(answer);
    EXPECT_THROW(connect_websocket(stream, "a", "/"), Error) << answer;
  }
}

// Within a handler the fault of another server is no answer to our own client.
TEST_F(WebSocketTest, ARefusalHasTheServersStatusAndIsABadGateway) {
  ScriptedStream stream("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
  try {
    connect_websocket(stream, "a", "/");
    FAIL() << "a WebSocket that was refused";
  } catch (const WebSocketRefused& error) {
    EXPECT_EQ(error.reply_status(), 403);
    EXPECT_EQ(error.status(), 502);
  }
  ScriptedStream other("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
  EXPECT_THROW(connect_websocket(other, "a", "/"), BadReply);
}

// --- both sides --------------------------------------------------------------------------------------------------------------

// A server at one end of a pair; `client` has a WebSocket at the other.
template <typename F>
void with_server(const Handler& handler, const WebSocketOptions& options, F&& client) {
  on_virtual_time([&](VirtualClock& clock) {
    auto [here, there] = Socket::pair();
    auto server = spawn("server", [&, socket = std::move(there)]() mutable { serve_http_connection(socket, handler); });
    {
      WebSocket socket = connect_websocket(here, "a", "/chat", options);
      client(socket, clock);
    }
    here.close();
    server.join();
  });
}

TEST_F(WebSocketTest, MessagesGoBothWays) {
  with_server(echo, {.max_message = 300'000, .protocols = {"wamp"}}, [](WebSocket& socket, VirtualClock&) {
    EXPECT_EQ(socket.protocol(), "wamp");
    for (const std::size_t size : {0u, 1u, 125u, 126u, 65535u, 65536u, 300'000u}) {
      const std::string text(size, 'x');
      auto writer = spawn("writer", [&] { socket.write_text(text); });
      const auto message = socket.read();
      ASSERT_TRUE(message);
      EXPECT_TRUE(message->data == text) << size;
      EXPECT_TRUE(message->is_text);
    }
    socket.write_binary("\xFF");
    EXPECT_FALSE(socket.read()->is_text);
    socket.close(4001, "enough");
    EXPECT_EQ(socket.close_code(), 4001);
    EXPECT_FALSE(socket.is_open());
    EXPECT_THROW(socket.write_text("late"), Closed);
    EXPECT_EQ(socket.read().why(), Why::closed);
    socket.close();
  });
}

TEST_F(WebSocketTest, WritersDoNotMix) {
  with_server(
      [](Request& request) {
        return accept_websocket(request, [](WebSocket& socket) {
          FiberGroup writers("writers");
          for (char c = 'a'; c < 'f'; ++c) writers.spawn("writer", [&socket, c] { socket.write_text(std::string(500'000, c)); });
          writers.join();
        }, {.max_frame = 10'000});
      },
      {}, [](WebSocket& socket, VirtualClock&) {
        std::string seen;
        while (auto message = socket.read()) {
          EXPECT_EQ(message->data.size(), 500'000u);
          EXPECT_EQ(message->data, std::string(500'000, message->data[0]));
          seen.push_back(message->data[0]);
        }
        std::sort(seen.begin(), seen.end());
        EXPECT_EQ(seen, "abcde");
        EXPECT_EQ(socket.close_code(), 1000);
      });
}

TEST_F(WebSocketTest, OneReadsAndOneWrites) {
  with_server(echo, {}, [](WebSocket& socket, VirtualClock&) {
    auto reader = spawn("reader", [&] {
      std::string all;
      while (auto message = socket.read()) all += message->data;
      return all;
    });
    yield_until_idle();
    EXPECT_THAT(what_of<Misuse>([&] { static_cast<void>(socket.read()); }), HasSubstr("two fibers read from one WebSocket"));
    socket.write_text("one ");
    socket.ping("still there?");
    socket.write_text("two");
    socket.close();  // the reader gets what comes before
    EXPECT_EQ(reader.join(), "one two");
    EXPECT_EQ(socket.pongs(), 1u);
  });
}

TEST_F(WebSocketTest, ALimitLosesNothing) {
  on_virtual_time([](VirtualClock&) {
    ScriptedStream stream(frame(0x01, "hel") + frame(0x80, "lo").substr(0, 7), 1, ScriptedStream::Then::silence);
    WebSocket socket = server_side(stream);
    EXPECT_EQ(socket.read().why(), Why::timed_out);
    EXPECT_EQ(socket.read().why(), Why::timed_out);
    stream.send(frame(0x80, "lo").substr(7));
    EXPECT_EQ(socket.read()->data, "hello");
  });
}

TEST_F(WebSocketTest, ACloseThatIsNotAnsweredHasALimit) {
  on_virtual_time([](VirtualClock& clock) {
    auto [here, there] = Socket::pair();
    WebSocket socket = server_side(here);
    auto closer = spawn("closer", [&] { return what_of<Timedout>([&] { socket.close(1000, {}, absl::Seconds(3)); }); });
    yield_until_idle();
    clock.advance(absl::Seconds(3));
    EXPECT_THAT(closer.join(), HasSubstr("before the other side had closed"));
  });
}

TEST_F(WebSocketTest, AWriteCutShortIsTheEnd) {
  on_virtual_time([](VirtualClock&) {
    auto [here, there] = Socket::pair();
    WebSocket socket = server_side(here, {.max_frame = 100'000'000});
    EXPECT_THROW(socket.write_binary(std::string(10'000'000, 'x'), absl::ZeroDuration()), WriteTimedout);
    EXPECT_THAT(what_of<Closed>([&] { socket.write_text("x"); }), HasSubstr("a message was cut short"));
  });
}

TEST_F(WebSocketTest, AHandlerThatFailsSaysSo) {
  with_server([](Request& request) { return accept_websocket(request, [](WebSocket&) { throw std::runtime_error("no tea"); }); }, {},
              [](WebSocket& socket, VirtualClock&) {
                EXPECT_EQ(socket.read().why(), Why::closed);
                EXPECT_EQ(socket.close_code(), 1011);
                EXPECT_EQ(socket.close_reason(), "");
              });
}

TEST_F(WebSocketTest, WhatCannotBeSentIsMisuse) {
  ScriptedStream stream("");
  WebSocket socket = server_side(stream);
  EXPECT_THROW(socket.write_text("\xFF"), Misuse);
  EXPECT_THROW(socket.ping(std::string(126, 'x')), Misuse);
  for (const int code : {0, 999, 1004, 1005, 1006, 1015, 2999, 5000}) EXPECT_THROW(socket.close(static_cast<std::uint16_t>(code)), Misuse) << code;
  EXPECT_THROW(socket.close(1000, std::string(124, 'x')), Misuse);
  EXPECT_THROW(socket.close(1000, "\xFF"), Misuse);
  EXPECT_EQ(stream.output(), "");
  socket.ping(std::string(125, 'x'));
  EXPECT_EQ(stream.output().size(), 127u);
}

}  // namespace
}  // namespace cooperative::http
