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
#include "cooperative/http/internal/utf8.h"
#include "cooperative/http/internal/websocket_frames.h"
#include "cooperative/http/internal/websocket_key.h"
#include "cooperative/http/server.h"
#include "cooperative/io/socket.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "mothreads/misuse.h"
#include "tests/cooperative/http/serving.h"
#include "tests/support/exceptions.h"
#include "tests/support/nothing_left.h"
#include "tests/support/scripted_stream.h"
#include "tests/support/virtual_time.h"

namespace cooperative::http {
namespace {

using internal::WebSocketFrames;
using mothreads::Misuse;
using mothreads::Why;
using mothreads::testing::on_virtual_time;
using mothreads::testing::VirtualClock;
using mothreads::testing::what_of;
using testing::ScriptedStream;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using namespace std::string_literals;

class WebSocketTest : public mothreads::testing::NothingLeft {
 protected:
  WebSocketTest() { static_cast<void>(Scheduler::current()); }  // the main thread's stays
};

// A frame of a client's, with a mask.
std::string frame(int first, const std::string& payload) {
  const std::string mask = "\x01\xA2\x03\xF4";
  std::string text{static_cast<char>(first)};
  if (payload.size() < 126) {
    text.push_back(static_cast<char>(0x80 | payload.size()));
  } else if (payload.size() < 65536) {
    text += "\xFE"s + static_cast<char>(payload.size() >> 8) + static_cast<char>(payload.size() & 0xFF);
  } else {
    text.push_back('\xFF');
    for (int shift = 56; shift >= 0; shift -= 8) text.push_back(static_cast<char>(payload.size() >> shift & 0xFF));
  }
  text += mask;
  for (std::size_t i = 0; i < payload.size(); ++i) text.push_back(static_cast<char>(payload[i] ^ mask[i % 4]));
  return text;
}

// What a server's side makes of frames: messages, then how it ended.
std::vector<std::string> server_reads(const std::string& frames, std::size_t piece, const WebSocketOptions& options = {}, std::string* sent = nullptr) {
  ScriptedStream stream(frames, piece);
  WebSocket socket(std::make_unique<WebSocketFrames>(stream, WebSocketFrames::Role::server, options, ""));
  std::vector<std::string> read;
  try {
    while (auto message = socket.read()) read.push_back((message->is_text ? "text " : "binary ") + message->data);
    read.push_back("closed " + std::to_string(socket.close_code()) + " " + socket.close_reason());
  } catch (const WebSocketError& error) {
    read.push_back("error " + std::to_string(error.code()));
    EXPECT_EQ(stream.output().substr(0, 2), "\x88\x02");
    EXPECT_EQ(socket.read().why(), Why::closed) << "for good";
  }
  if (sent != nullptr) *sent = stream.output();
  return read;
}

struct Frames {
  std::string name;
  std::string frames;
  std::vector<std::string> read;
};

void PrintTo(const Frames& frames, std::ostream* out) { *out << frames.name; }

class WebSocketFramesTest : public ::testing::TestWithParam<Frames> {};

TEST_P(WebSocketFramesTest, AreReadInAnyPieces) {
  for (const std::size_t piece : {std::size_t{1}, std::size_t{3}, std::size_t{4096}}) {
    EXPECT_EQ(server_reads(GetParam().frames, piece, {.max_message = 100'000}), GetParam().read) << piece;
  }
}

using List = std::vector<std::string>;
const std::string kLong(70'000, 'l');

INSTANTIATE_TEST_SUITE_P(
    Table, WebSocketFramesTest,
    ::testing::Values(
        Frames{"Text", frame(0x81, "hello") + frame(0x88, "\x03\xE8" "bye"), List{"text hello", "closed 1000 bye"}},
        Frames{"Binary", frame(0x82, "\xFF\x00"s) + frame(0x88, ""), List{"binary \xFF\x00"s, "closed 1005 "}},
        Frames{"Empty", frame(0x81, "") + frame(0x88, ""), List{"text ", "closed 1005 "}},
        Frames{"Sizes", frame(0x82, std::string(125, 'a')) + frame(0x82, std::string(126, 'a')) + frame(0x82, std::string(65535, 'a')) + frame(0x82, std::string(65536, 'a')),
               List{"binary " + std::string(125, 'a'), "binary " + std::string(126, 'a'), "binary " + std::string(65535, 'a'),
                    "binary " + std::string(65536, 'a'), "closed 1006 "}},
        Frames{"Fragments", frame(0x01, "hel") + frame(0x89, "ping") + frame(0x00, "") + frame(0x80, "lo") + frame(0x88, ""), List{"text hello", "closed 1005 "}},
        Frames{"CharacterInTwoFragments", frame(0x01, "\xC3") + frame(0x80, "\xA4") + frame(0x88, ""), List{"text \xC3\xA4", "closed 1005 "}},
        Frames{"LongFragments", frame(0x02, kLong) + frame(0x80, "x") + frame(0x88, ""), List{"binary " + kLong + "x", "closed 1005 "}},
        Frames{"Gone", frame(0x81, "a") + frame(0x81, "bc").substr(0, 7), List{"text a", "closed 1006 "}},
        Frames{"AfterClose", frame(0x88, "\x03\xE8") + frame(0x81, "late"), List{"closed 1000 "}},
        Frames{"OwnCode", frame(0x88, "\x0F\xA0"), List{"closed 4000 "}}),
    [](const auto& its) { return its.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Wrong, WebSocketFramesTest,
    ::testing::Values(
        Frames{"NoMask", "\x81\x01x", List{"error 1002"}}, Frames{"ReservedBit", frame(0xC1, "x"), List{"error 1002"}},
        Frames{"UnknownData", frame(0x83, "x"), List{"error 1002"}}, Frames{"UnknownControl", frame(0x8B, "x"), List{"error 1002"}},
        Frames{"FragmentedPing", frame(0x09, "x"), List{"error 1002"}}, Frames{"LongPing", frame(0x89, std::string(126, 'x')), List{"error 1002"}},
        Frames{"LongClose", frame(0x88, "\x03\xE8" + std::string(124, 'x')), List{"error 1002"}},
        Frames{"ContinuationOfNothing", frame(0x80, "x"), List{"error 1002"}},
        Frames{"MessageInMessage", frame(0x01, "x") + frame(0x81, "y"), List{"error 1002"}},
        Frames{"NotShortest", "\x81\xFE\x00\x05\x00\x00\x00\x00hello"s, List{"error 1002"}},
        Frames{"NotShortestOfEight", "\x81\xFF\x00\x00\x00\x00\x00\x00\xFF\xFF\x00\x00\x00\x00"s, List{"error 1002"}},
        Frames{"NegativeLength", "\x81\xFF\x80\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00"s, List{"error 1002"}},
        Frames{"HugeLength", "\x81\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x00\x00\x00\x00"s, List{"error 1009"}},
        Frames{"NoUtf8", frame(0x81, "\xC3"), List{"error 1007"}}, Frames{"Surrogate", frame(0x81, "\xED\xA0\x80"), List{"error 1007"}},
        Frames{"HalfACode", frame(0x88, "\x03"), List{"error 1002"}}, Frames{"NoCode", frame(0x88, "\x00\x00"s), List{"error 1002"}},
        Frames{"CodeNeverSent", frame(0x88, "\x03\xED"), List{"error 1002"}}, Frames{"CodeOfNobody", frame(0x88, "\x07\xD0"), List{"error 1002"}},
        Frames{"CodeTooBig", frame(0x88, "\x13\x88"), List{"error 1002"}}, Frames{"ReasonNoUtf8", frame(0x88, "\x03\xE8\xC3"), List{"error 1007"}}),
    [](const auto& its) { return its.param.name; });

TEST_F(WebSocketTest, AMessageHasALimit) {
  const WebSocketOptions options{.max_message = 10};
  EXPECT_THAT(server_reads(frame(0x82, std::string(10, 'x')), 3, options), ElementsAre("binary xxxxxxxxxx", "closed 1006 "));
  EXPECT_THAT(server_reads(frame(0x82, std::string(11, 'x')), 3, options), ElementsAre("error 1009"));
  EXPECT_THAT(server_reads(frame(0x02, std::string(9, 'x')) + frame(0x80, "y"), 3, options), ElementsAre("binary xxxxxxxxxy", "closed 1006 "));
  EXPECT_THAT(server_reads(frame(0x02, std::string(9, 'x')) + frame(0x80, "yz"), 3, options), ElementsAre("error 1009"));
}

TEST_F(WebSocketTest, PingsAndClosesAreAnswered) {
  std::string sent;
  server_reads(frame(0x89, "are you there") + frame(0x8A, "unasked") + frame(0x88, "\x03\xE9" "away"), 2, {}, &sent);
  EXPECT_EQ(sent, "\x8A\x0D" "are you there\x88\x02\x03\xE9");
}

TEST_F(WebSocketTest, Utf8) {
  using internal::is_utf8;
  for (const std::string& good : {""s, "ascii of more than eight"s, "\0"s, "\xC2\x80"s, "\xDF\xBF"s, "\xE0\xA0\x80"s, "\xED\x9F\xBF"s, "\xEE\x80\x80"s, "\xEF\xBF\xBF"s,
                                 "\xF0\x90\x80\x80"s, "\xF4\x8F\xBF\xBF"s}) {
    EXPECT_TRUE(is_utf8(good));
    EXPECT_TRUE(is_utf8("12345678" + good + "x"));
  }
  for (const std::string& bad : {"\x80"s, "\xBF"s, "\xC0\x80"s, "\xC1\xBF"s, "\xC2"s, "\xE0\x9F\xBF"s, "\xED\xA0\x80"s, "\xE1\x80"s, "\xE1\x80\xC0"s, "\xF0\x8F\xBF\xBF"s, "\xF4\x90\x80\x80"s, "\xF5\x80\x80\x80"s, "\xFF"s}) {
    EXPECT_FALSE(is_utf8(bad));
    EXPECT_FALSE(is_utf8("12345678" + bad));
  }
}

// --- the handshake -----------------------------------------------------------------------------------------------------------

const std::string kAsk =
    "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: soap, wamp\r\n\r\n";

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

// --- both sides --------------------------------------------------------------------------------------------------------------

// A server at one end of a pair; `client` has a WebSocket at the other.
template <typename F>
void with_server(const Handler& handler, const WebSocketOptions& options, F&& client) {
  on_virtual_time([&](VirtualClock& clock) {
    auto [here, there] = Socket::pair();
    auto server = spawn("server", [&, socket = std::move(there)]() mutable { serve_http_connection(socket, handler); });
    {
      WebSocket socket = connect_websocket(options, here, "a", "/chat");
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
    WebSocket socket(std::make_unique<WebSocketFrames>(stream, WebSocketFrames::Role::server, WebSocketOptions{}, ""));
    EXPECT_EQ(socket.read().why(), Why::timed_out);
    EXPECT_EQ(socket.read().why(), Why::timed_out);
    stream.send(frame(0x80, "lo").substr(7));
    EXPECT_EQ(socket.read()->data, "hello");
  });
}

TEST_F(WebSocketTest, ACloseThatIsNotAnsweredHasALimit) {
  on_virtual_time([](VirtualClock& clock) {
    auto [here, there] = Socket::pair();
    WebSocket socket(std::make_unique<WebSocketFrames>(here, WebSocketFrames::Role::server, WebSocketOptions{}, ""));
    auto closer = spawn("closer", [&] { return what_of<Timedout>([&] { socket.close(1000, {}, absl::Seconds(3)); }); });
    yield_until_idle();
    clock.advance(absl::Seconds(3));
    EXPECT_THAT(closer.join(), HasSubstr("before the other side had closed"));
  });
}

TEST_F(WebSocketTest, AWriteCutShortIsTheEnd) {
  on_virtual_time([](VirtualClock&) {
    auto [here, there] = Socket::pair();
    WebSocket socket(std::make_unique<WebSocketFrames>(here, WebSocketFrames::Role::server, WebSocketOptions{.max_frame = 100'000'000}, ""));
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
  WebSocket socket(std::make_unique<WebSocketFrames>(stream, WebSocketFrames::Role::server, WebSocketOptions{}, ""));
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
