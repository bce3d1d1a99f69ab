// Readers, writers, the other side, a server that drains: which of them waits for which.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/http/server.h"
#include "cooperative/http/websocket.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/io_error.h"
#include "cooperative/io/server.h"
#include "cooperative/io/socket.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "tests/cooperative/http/websocket_side.h"
#include "tests/support/exceptions.h"
#include "tests/support/nothing_left.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0::http {
namespace {

using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Why;
using mothreads::testing::LogLines;
using mothreads::testing::on_virtual_time;
using mothreads::testing::VirtualClock;
using mothreads::testing::what_of;
using testing::frame;
using testing::NarrowStream;
using testing::server_side;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace std::string_literals;

class WebSocketFlowTest : public mothreads::testing::NothingLeft {
 protected:
  WebSocketFlowTest() { static_cast<void>(Scheduler::current()); }  // the main thread's stays

  // A server's side on a stream without room.
  template <typename F>
  static void on_narrow(const WebSocketOptions& options, F&& body) {
    on_virtual_time([&](VirtualClock& clock) {
      NarrowStream stream;
      WebSocket socket = server_side(stream, options);
      body(socket, stream, clock);
    });
  }
};

const std::string kPing = frame(0x89, "1");
const std::string kPong = "\x8A\x01" "1";

// --- a reader waits for no writer --------------------------------------------------------------------------------------------

// Each side writes more than the connection holds, and its reader finds a ping first.
TEST_F(WebSocketFlowTest, TwoThatWriteAndPingGoOn) {
  on_virtual_time([](VirtualClock&) {
    static constexpr std::size_t kSize = 4'000'000;
    static constexpr int kRounds = 3;
    const WebSocketOptions options{.max_message = kSize, .max_frame = kSize};
    const auto talk = [](WebSocket& socket) {
      auto writer = spawn("writer", [&] {
        for (int i = 0; i < kRounds; ++i) {
          socket.ping();
          socket.write_binary(std::string(kSize, 'x'));
        }
      });
      yield_until_idle();  // until it waits for the other side
      for (int i = 0; i < kRounds; ++i) EXPECT_EQ(socket.read()->data.size(), kSize);
      writer.join();
    };
    auto [here, there] = Socket::pair();
    auto server = spawn("server", [&, socket = std::move(there)]() mutable {
      serve_http_connection(socket, [&](Request& request) { return accept_websocket(request, talk, options); });
    });
    WebSocket socket = connect_websocket(here, "a", "/", options);
    talk(socket);
    socket.close();
    EXPECT_GT(socket.pongs(), 0u);
    here.close();
    server.join();
  });
}

TEST_F(WebSocketFlowTest, ReadingGoesOnWhileAPongHasNoRoom) {
  on_narrow({}, [](WebSocket& socket, NarrowStream& stream, VirtualClock&) {
    stream.send(kPing + frame(0x81, "hello"));
    EXPECT_EQ(socket.read()->data, "hello");
    EXPECT_EQ(stream.output(), "");
    stream.give_room(100);
    EXPECT_EQ(socket.read(absl::ZeroDuration()).why(), Why::timed_out);
    EXPECT_EQ(stream.output(), kPong);
  });
}

TEST_F(WebSocketFlowTest, APongGoesWhileTheReaderWaits) {
  on_narrow({}, [](WebSocket& socket, NarrowStream& stream, VirtualClock&) {
    stream.send(kPing);
    auto reader = spawn("reader", [&] { return socket.read()->data; });
    yield_until_idle();
    stream.give_room(100);
    yield_until_idle();
    EXPECT_EQ(stream.output(), kPong);
    stream.send(frame(0x81, "hello"));
    EXPECT_EQ(reader.join(), "hello");
  });
}

TEST_F(WebSocketFlowTest, APongGoesBeforeTheNextFrame) {
  on_narrow({.max_frame = 4}, [](WebSocket& socket, NarrowStream& stream, VirtualClock&) {
    auto writer = spawn("writer", [&] { socket.write_text("abcdefgh"); });
    yield_until_idle();
    stream.send(kPing + frame(0x81, "hello"));
    EXPECT_EQ(socket.read()->data, "hello");
    stream.give_room(100);
    writer.join();
    EXPECT_EQ(stream.output(), "\x01\x04" "abcd" + kPong + "\x80\x04" "efgh");
  });
}

TEST_F(WebSocketFlowTest, OfPingsInAFloodTheNewestIsAnswered) {
  on_narrow({}, [](WebSocket& socket, NarrowStream& stream, VirtualClock&) {
    std::string flood;
    for (int i = 0; i < 10'000; ++i) flood += frame(0x89, std::to_string(i));
    stream.send(flood + frame(0x81, "hello"));
    EXPECT_EQ(socket.read()->data, "hello");
    stream.give_room(100);
    EXPECT_FALSE(socket.read(absl::ZeroDuration()));
    // The first was under way when the others came.
    EXPECT_EQ(stream.output(), "\x8A\x01" "0\x8A\x04" "9999");
  });
}

TEST_F(WebSocketFlowTest, AReaderThatIsCancelledLeavesWholeFrames) {
  for (std::size_t room = 0; room <= kPong.size(); ++room) {
    on_narrow({}, [&](WebSocket& socket, NarrowStream& stream, VirtualClock&) {
      stream.send(kPing);
      auto reader = spawn("reader", [&] { static_cast<void>(socket.read()); });
      yield_until_idle();
      stream.give_room(room);
      yield_until_idle();
      EXPECT_EQ(stream.output(), kPong.substr(0, room));
      reader.cancel();
      EXPECT_THROW(reader.join(), WasCancelled);
      stream.give_room(100);
      socket.write_text("text");
      EXPECT_EQ(stream.output(), kPong + "\x81\x04text");
    });
  }
}

TEST_F(WebSocketFlowTest, TheAnswerToACloseWaitsForNoWriter) {
  on_narrow({}, [](WebSocket& socket, NarrowStream& stream, VirtualClock& clock) {
    auto writer = spawn("writer", [&] { socket.write_text("text"); });
    yield_until_idle();
    auto late = spawn("late writer", [&] { return what_of<Closed>([&] { socket.write_text("late"); }); });
    yield_until_idle();
    stream.send(frame(0x88, "\x03\xE8"));
    EXPECT_EQ(socket.read().why(), Why::closed);
    EXPECT_THAT(late.join(), HasSubstr("closed before a message had its turn"));
    auto closer = spawn("closer", [&] { return what_of<Timedout>([&] { socket.close(1000, {}, absl::Seconds(1)); }); });
    yield_until_idle();
    clock.advance(absl::Seconds(1));
    EXPECT_THAT(closer.join(), HasSubstr("before the other side had closed"));
    stream.give_room(100);
    writer.join();
    EXPECT_EQ(stream.output(), "\x81\x04text\x88\x02\x03\xE8");
    socket.close();
  });
}

TEST_F(WebSocketFlowTest, AReaderThatFailsTheConnectionWaitsForNoWriter) {
  for (const auto& [frames, code] : {std::pair(frame(0xC1, "x"), 1002), std::pair(frame(0x81, "\xFF"), 1007), std::pair(frame(0x82, "abcd"), 1009)}) {
    on_narrow({.max_message = 3}, [&, frames = frames, code = code](WebSocket& socket, NarrowStream& stream, VirtualClock&) {
      auto writer = spawn("writer", [&] { socket.write_text("text"); });
      yield_until_idle();
      stream.send(frames);
      try {
        static_cast<void>(socket.read());
        ADD_FAILURE() << code;
      } catch (const WebSocketError& error) {
        EXPECT_EQ(error.code(), code);
      }
      EXPECT_EQ(stream.output(), "");
      stream.give_room(100);
      writer.join();
      EXPECT_EQ(stream.output(), "\x81\x04text\x88\x02\x03"s + static_cast<char>(code & 0xFF));
    });
  }
}

TEST_F(WebSocketFlowTest, CloseSendsWhatAReaderThatFailedOwes) {
  on_narrow({}, [](WebSocket& socket, NarrowStream& stream, VirtualClock&) {
    stream.send(frame(0xC1, "x"));
    EXPECT_THROW(static_cast<void>(socket.read()), WebSocketError);
    auto closer = spawn("closer", [&] { socket.close(); });
    yield_until_idle();
    EXPECT_TRUE(closer.is_alive());
    stream.give_room(100);
    closer.join();
    EXPECT_EQ(stream.output(), "\x88\x02\x03\xEA");
  });
}

TEST_F(WebSocketFlowTest, ACloseReadsWhileItHasNoRoom) {
  on_narrow({}, [](WebSocket& socket, NarrowStream& stream, VirtualClock&) {
    auto closer = spawn("closer", [&] { socket.close(4000); });
    yield_until_idle();
    stream.send(frame(0x81, "dropped") + frame(0x88, "\x0F\xA1"));
    stream.give_room(100);
    closer.join();
    EXPECT_EQ(socket.close_code(), 4001);
    EXPECT_EQ(stream.output(), "\x88\x02\x0F\xA0");
  });
}

// --- writes that end early ---------------------------------------------------------------------------------------------------

TEST_F(WebSocketFlowTest, AWriteCutWithinAFrameEndsTheReader) {
  on_narrow({}, [](WebSocket& socket, NarrowStream& stream, VirtualClock& clock) {
    auto reader = spawn("reader", [&] { return socket.read().why(); });
    auto writer = spawn("writer", [&] { socket.write_text("text", absl::Seconds(1)); });
    auto next = spawn("next writer", [&] { socket.write_text("next"); });
    stream.give_room(3);
    yield_until_idle();
    clock.advance(absl::Seconds(1));
    EXPECT_THROW(writer.join(), WriteTimedout);
    EXPECT_EQ(reader.join(), Why::closed);
    EXPECT_THROW(next.join(), Closed);
    EXPECT_EQ(socket.close_code(), 1006);
    EXPECT_FALSE(socket.is_open());
    stream.give_room(100);
    socket.close();
    EXPECT_EQ(stream.output(), "\x81\x04t") << "nothing can follow it";
  });
}

TEST_F(WebSocketFlowTest, AWriterCancelledWithinAFrameEndsTheReader) {
  on_narrow({}, [](WebSocket& socket, NarrowStream& stream, VirtualClock&) {
    auto reader = spawn("reader", [&] { return socket.read().why(); });
    auto writer = spawn("writer", [&] { socket.write_text("text"); });
    stream.give_room(3);
    yield_until_idle();
    writer.cancel();
    EXPECT_EQ(reader.join(), Why::closed);
    EXPECT_THAT(what_of<Closed>([&] { socket.write_text("x"); }), HasSubstr("a message was cut short"));
  });
}

TEST_F(WebSocketFlowTest, AWriteOfWhichNothingHasGoneMayBeTriedAgain) {
  on_narrow({}, [](WebSocket& socket, NarrowStream& stream, VirtualClock&) {
    EXPECT_THROW(socket.write_text("text", absl::ZeroDuration()), WriteTimedout);
    EXPECT_TRUE(socket.is_open());
    stream.give_room(100);
    socket.write_text("again");
    EXPECT_EQ(stream.output(), "\x81\x05" "again");
  });
}

TEST_F(WebSocketFlowTest, AMessageCutBetweenFramesIsFollowedByAClose) {
  on_narrow({.max_frame = 4}, [](WebSocket& socket, NarrowStream& stream, VirtualClock& clock) {
    auto reader = spawn("reader", [&] { return socket.read().why(); });
    auto writer = spawn("writer", [&] { socket.write_text("abcdefgh", absl::Seconds(1)); });
    stream.give_room(6);
    yield_until_idle();
    clock.advance(absl::Seconds(1));
    EXPECT_THROW(writer.join(), WriteTimedout);
    EXPECT_EQ(reader.join(), Why::closed);
    EXPECT_THROW(socket.write_text("x"), Closed);
    stream.give_room(100);
    socket.close();
    EXPECT_EQ(stream.output(), "\x01\x04" "abcd\x88\x02\x03\xF3");
  });
}

// --- messages in pieces ------------------------------------------------------------------------------------------------------

TEST_F(WebSocketFlowTest, AMessageInPieces) {
  on_narrow({.max_frame = 4}, [](WebSocket& socket, NarrowStream& stream, VirtualClock&) {
    stream.give_room(1000);
    {
      WebSocketWriter out = socket.begin_text();
      out.write("ab");
      EXPECT_EQ(stream.output(), "\x01\x02" "ab") << "before the next";
      out.write("");
      WebSocketWriter moved = std::move(out);
      socket.ping("p");
      moved.write("cdefg\xC3");
      moved.write("\xA4");
      moved.end();
      EXPECT_THROW(moved.end(), Misuse);
      EXPECT_THROW(moved.write("x"), Misuse);
    }
    EXPECT_EQ(stream.output(), "\x01\x02" "ab\x89\x01p\x00\x04" "cdef\x00\x02" "g\xC3\x00\x01\xA4\x80\x00"s);
    socket.begin_binary().end();
    EXPECT_THAT(stream.output(), EndsWith("\x82\x00"s)) << "an empty one";
    EXPECT_TRUE(socket.is_open());
  });
}

TEST_F(WebSocketFlowTest, OtherMessagesWaitForTheEndOfOneInPieces) {
  on_narrow({}, [](WebSocket& socket, NarrowStream& stream, VirtualClock& clock) {
    stream.give_room(1000);
    WebSocketWriter out = socket.begin_binary();
    out.write("a");
    auto other = spawn("other", [&] { socket.write_text("other"); });
    auto hasty = spawn("hasty", [&] { socket.write_text("hasty", absl::Seconds(1)); });
    yield_until_idle();
    clock.advance(absl::Seconds(1));
    EXPECT_THROW(hasty.join(), Timedout);
    stream.send(kPing);
    EXPECT_FALSE(socket.read(absl::ZeroDuration()));
    EXPECT_THAT(what_of<Misuse>([&] { socket.write_text("mine"); }), HasSubstr("end() the one that it has begun"));
    out.end();
    other.join();
    EXPECT_EQ(stream.output(), "\x02\x01" "a" + kPong + "\x80\x00\x81\x05other"s);
  });
}

TEST_F(WebSocketFlowTest, AWriterGoesOnWhileAnotherWaitsForItsTurn) {
  on_narrow({}, [](WebSocket& socket, NarrowStream& stream, VirtualClock&) {
    auto one = spawn("one", [&] {
      socket.write_text("1");
      socket.write_text("3");
    });
    auto other = spawn("other", [&] { socket.write_text("2"); });
    yield_until_idle();
    stream.give_room(100);
    one.join();
    other.join();
    EXPECT_EQ(stream.output(), "\x81\x01" "1\x81\x01" "2\x81\x01" "3");
  });
}

TEST_F(WebSocketFlowTest, TextInPiecesIsUtf8) {
  on_narrow({}, [](WebSocket& socket, NarrowStream& stream, VirtualClock&) {
    stream.give_room(1000);
    WebSocketWriter out = socket.begin_text();
    out.write("\xC3");
    EXPECT_THROW(out.write("x"), Misuse);
    EXPECT_THROW(out.end(), Misuse) << "half a character";
    out.write("\xA4");
    out.end();
    EXPECT_EQ(stream.output(), "\x01\x01\xC3\x00\x01\xA4\x80\x00"s);
    EXPECT_TRUE(socket.is_open());
  });
}

TEST_F(WebSocketFlowTest, AMessageInPiecesThatIsNotEndedEndsTheWebSocket) {
  on_narrow({}, [](WebSocket& socket, NarrowStream& stream, VirtualClock&) {
    stream.give_room(1000);
    { const WebSocketWriter nothing = socket.begin_text(); }
    EXPECT_TRUE(socket.is_open()) << "nothing has gone";
    auto reader = spawn("reader", [&] { return socket.read().why(); });
    auto writer = spawn("writer", [&] {
      WebSocketWriter out = socket.begin_text();
      out.write("a");
      throw std::runtime_error("no more");
    });
    auto other = spawn("other", [&] { socket.write_text("other"); });
    EXPECT_EQ(what_of<std::runtime_error>([&] { writer.join(); }), "no more");
    EXPECT_THROW(other.join(), Closed);
    EXPECT_EQ(reader.join(), Why::closed);
    EXPECT_EQ(stream.output(), "\x01\x01" "a\x88\x02\x03\xF3");
  });
}

TEST_F(WebSocketFlowTest, AMessageInPiecesBelongsToItsFiber) {
  on_narrow({}, [](WebSocket& socket, NarrowStream& stream, VirtualClock&) {
    stream.give_room(1000);
    WebSocketWriter out = socket.begin_text();
    auto other = spawn("other", [&] { EXPECT_THROW(out.write("x"), Misuse); });
    other.join();
    out.write("a");
    spawn("destroys it", [&] { const WebSocketWriter its = std::move(out); }).join();
    EXPECT_EQ(stream.output(), "\x01\x01" "a\x88\x02\x03\xF3");
  });
}

// --- a server that drains ----------------------------------------------------------------------------------------------------

// A server's connection, which drains when `draining` goes; `client` is a WebSocket at the other end.
template <typename F>
void with_draining(absl::AnyInvocable<void(WebSocket&)> run, F&& client) {
  on_virtual_time([&](VirtualClock& clock) {
    const Signal draining;
    auto [here, there] = Socket::pair();
    auto server = spawn("server", [&, socket = std::move(there)]() mutable {
      serve_http_connection(socket, [&](Request& request) { return accept_websocket(request, std::move(run)); }, {.draining = draining});
    });
    WebSocket socket = connect_websocket(here, "a", "/");
    yield_until_idle();
    client(socket, draining, clock);
    here.close();
    server.join();
  });
}

TEST_F(WebSocketFlowTest, TheUsualLoopEndsWhenTheServerDrains) {
  LogLines log;
  std::string got;
  with_draining(
      [&, of_its_own = std::make_unique<int>(0)](WebSocket& socket) {
        while (auto message = socket.read()) got += message->data;
        got += ".";
      },
      [&](WebSocket& socket, const Signal& draining, VirtualClock&) {
        socket.write_text("a");
        draining.go();
        yield_until_idle();
        socket.write_text("b");  // it does not know yet
        EXPECT_EQ(socket.read().why(), Why::closed);
        EXPECT_EQ(socket.close_code(), 1001);
        yield_until_idle();
        EXPECT_EQ(got, "ab.");
      });
  EXPECT_THAT(log.with("fail"), IsEmpty());
}

TEST_F(WebSocketFlowTest, AServerThatIsStoppedWaitsForTheAnswerOfItsClients) {
  on_virtual_time([](VirtualClock&) {
    auto server = serve_tcp(Address::loopback(0), [](Socket& client, const Signal& please_stop) {
      const auto echo = [](WebSocket& socket) {
        while (auto message = socket.read()) socket.write_text(message->data);
      };
      serve_http_connection(client, [&](Request& request) { return accept_websocket(request, echo); }, {.draining = please_stop});
    });
    Socket tcp = connect(server.address());
    WebSocket socket = connect_websocket(tcp, "a", "/");
    socket.write_text("hello");
    EXPECT_EQ(socket.read()->data, "hello");
    server.stop();
    EXPECT_EQ(socket.read().why(), Why::closed);
    EXPECT_EQ(socket.close_code(), 1001);
    EXPECT_FALSE(tcp.read_line()) << "the server ends the connection first";
    tcp.close();
    server.join();
    EXPECT_EQ(server.statistics().cancelled, 0u);
    EXPECT_EQ(server.statistics().failed, 0u);
  });
}

TEST_F(WebSocketFlowTest, AClientThatDoesNotAnswerADrainHasALimit) {
  std::optional<std::uint16_t> code;
  with_draining(
      [&](WebSocket& socket) {
        while (socket.read()) {
        }
        code = socket.close_code();
      },
      [&](WebSocket& socket, const Signal& draining, VirtualClock& clock) {
        draining.go();
        yield_until_idle();
        clock.advance(WebSocketOptions{}.close_limit - absl::Seconds(1));
        socket.write_text("it goes on");
        yield_until_idle();
        EXPECT_FALSE(code);
        clock.advance(absl::Seconds(1));
        yield_until_idle();
        EXPECT_EQ(code, 1006);
      });
}

TEST_F(WebSocketFlowTest, AClientThatSendsWithoutEndEndsAtTheSameLimit) {
  on_virtual_time([](VirtualClock& clock) {
    const Signal draining;
    NarrowStream stream;
    WebSocket socket = server_side(stream, {.close_limit = absl::Seconds(1), .draining = draining});
    draining.go();
    for (int i = 0; i < 4; ++i) {
      stream.send(frame(0x81, "more") + frame(0x81, "more"));
      EXPECT_EQ(socket.read().why(), i < 2 ? Why::ready : Why::closed) << i;
      if (i == 1) clock.advance(absl::Seconds(1));
    }
  });
}

TEST_F(WebSocketFlowTest, AHandlerThatOnlyWritesEndsWhenTheServerDrains) {
  LogLines log;
  with_draining(
      [](WebSocket& socket) {
        while (true) {
          socket.write_text("tick");
          cooperative::sleep(absl::Seconds(1));
        }
      },
      [&](WebSocket& socket, const Signal& draining, VirtualClock& clock) {
        EXPECT_TRUE(socket.read());
        draining.go();
        clock.advance(absl::Seconds(1));
        EXPECT_EQ(socket.read().why(), Why::closed);
        EXPECT_EQ(socket.close_code(), 1001);
      });
  EXPECT_THAT(log.with("fail"), IsEmpty());
  EXPECT_THAT(log.with("left"), IsEmpty());
}

TEST_F(WebSocketFlowTest, AHandlerThatEndsAtADrainGoesAway) {
  Signal its;
  with_draining(
      [&](WebSocket& socket) {
        while (socket.read(its)) {
        }
      },
      [&](WebSocket& socket, const Signal& draining, VirtualClock&) {
        draining.then([&] { its.go(); });
        draining.go();
        EXPECT_EQ(socket.read().why(), Why::closed);
        EXPECT_EQ(socket.close_code(), 1001);
      });
}

TEST_F(WebSocketFlowTest, ADrainThatHasBegunClosesAtOnce) {
  const Signal draining;
  draining.go();
  on_virtual_time([&](VirtualClock&) {
    NarrowStream stream;
    stream.give_room(100);
    WebSocket socket = server_side(stream, {.draining = draining});
    EXPECT_THROW(socket.write_text("x"), Closed);
    EXPECT_EQ(stream.output(), "\x88\x02\x03\xE9");
    stream.send(frame(0x88, "\x03\xE9"));
    EXPECT_EQ(socket.read().why(), Why::closed);
    EXPECT_EQ(socket.close_code(), 1001);
  });
}

TEST_F(WebSocketFlowTest, AStreamsOwnTimeoutHoldsForAReader) {
  on_narrow({}, [](WebSocket& socket, NarrowStream& stream, VirtualClock& clock) {
    stream.set_timeout(absl::Seconds(1));
    auto reader = spawn("reader", [&] { return socket.read().why(); });
    yield_until_idle();
    clock.advance(absl::Seconds(1));
    EXPECT_EQ(reader.join(), Why::timed_out);
  });
}

// --- the last frame ----------------------------------------------------------------------------------------------------------

// Over TCP, bytes that nobody has read would reset the connection at its close.
TEST_F(WebSocketFlowTest, AClientStillReadsACloseThatCameBeforeItHadSentAll) {
  on_virtual_time([](VirtualClock&) {
    auto server = serve_tcp(Address::loopback(0), [](Socket& client) {
      serve_http_connection(client, [](Request& request) {
        return accept_websocket(request, [](WebSocket& socket) { static_cast<void>(socket.read()); }, {.max_message = 1000});
      });
    });
    Socket client = connect(server.address());
    WebSocket socket = connect_websocket(client, "a", "/");
    WebSocketWriter out = socket.begin_binary();
    for (int i = 0; i < 4; ++i) {
      out.write(std::string(20'000, 'x'));
      yield_until_idle(absl::ZeroDuration());  // after the first the server has said what it has to say
    }
    EXPECT_EQ(socket.read().why(), Why::closed);
    EXPECT_EQ(socket.close_code(), 1009);
  });
}

TEST_F(WebSocketFlowTest, AWebSocketTakesThePlaceOfAnother) {
  on_virtual_time([](VirtualClock&) {
    NarrowStream first, second;
    second.give_room(100);
    WebSocket socket = server_side(first);
    socket = server_side(second);
    socket.write_text("x");
    EXPECT_EQ(second.output(), "\x81\x01x");
  });
}

}  // namespace
}  // namespace cooperative::http
