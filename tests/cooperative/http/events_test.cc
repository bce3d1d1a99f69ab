#include "cooperative/http/events.h"

#include <memory>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/http/server.h"
#include "cooperative/io/socket.h"
#include "cooperative/sleep.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "tests/support/exceptions.h"
#include "tests/support/nothing_left.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0::http {
namespace {

using mothreads::Misuse;
using mothreads::Signal;
using mothreads::testing::LogLines;
using mothreads::testing::on_virtual_time;
using mothreads::testing::VirtualClock;
using mothreads::testing::what_of;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using namespace std::string_literals;

class HttpEventsTest : public mothreads::testing::NothingLeft {};

TEST_F(HttpEventsTest, TheirText) {
  EXPECT_EQ(format_event({}), "data: \n\n");
  EXPECT_EQ(format_event({.data = "a"}), "data: a\n\n");
  EXPECT_EQ(format_event({.id = "17", .type = "line", .data = "a: b"}), "id: 17\nevent: line\ndata: a: b\n\n");
  EXPECT_EQ(format_event({.data = "a\nb\r\nc\rd\n"}), "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n");
  EXPECT_EQ(format_event({.data = "\n\r"}), "data: \ndata: \ndata: \n\n");
  for (const std::string& id : {"a\n"s, "\r"s, "a\0b"s}) EXPECT_THROW(format_event({.id = id}), Misuse);
  for (const std::string& type : {"a\nid: 5"s, "\r"s}) EXPECT_THROW(format_event({.type = type}), Misuse);
}

// What a handler for events is tested with.
TEST_F(HttpEventsTest, AStreamOfThem) {
  const Request request = Request::make("GET", "/", {.headers = {{"Last-Event-ID", "16"}}});
  Response response = Response::events(
      [kept = std::make_unique<int>(17)](EventWriter& events) {
        EXPECT_EQ(events.last_event_id(), "16");
        events.comment("hello\nyou");
        events.send({.id = std::to_string(*kept), .data = "x"});
      },
      {.retry = absl::Milliseconds(1500)});
  EXPECT_EQ(response.headers.get("Content-Type"), "text/event-stream");
  EXPECT_EQ(response.headers.get("Cache-Control"), "no-store");
  on_virtual_time([&](VirtualClock&) { EXPECT_EQ(take_body(response, request), "retry: 1500\n\n: hello\n: you\n\nid: 17\ndata: x\n\n"); });
  EXPECT_THAT(what_of<Misuse>([] { Response::events([](EventWriter&) {}, {.keep_alive = absl::ZeroDuration()}); }), HasSubstr("keep_alive"));
}

// Serves `write` to `body`, its client.
template <typename Body>
void with_events(absl::AnyInvocable<void(EventWriter&)> write, const EventOptions& options, Body&& body) {
  on_virtual_time([&](VirtualClock& clock) {
    auto [here, there] = Socket::pair();
    auto server = spawn("server", [&, socket = std::move(there)]() mutable {
      serve_http_connection(socket, [&](Request&) { return Response::events([&](EventWriter& events) { write(events); }, options); });
    });
    here.write_all("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    EXPECT_THAT(*here.read_until("\r\n\r\n"), HasSubstr("text/event-stream")) << "the head goes at once";
    body(here, clock);
    here.close();
    server.join();
  });
}

TEST_F(HttpEventsTest, EachIsSentAtOnce) {
  const Signal go_on("go on");
  with_events(
      [&](EventWriter& events) {
        events.send({.data = "one"});
        go_on.wait();
        events.send({.data = "two"});
      },
      {},
      [&](Socket& client, VirtualClock&) {
        EXPECT_EQ(*client.read_until("\r\n"), "b");
        EXPECT_EQ(*client.read_until("\r\n"), "data: one\n\n");
        go_on.go();
        EXPECT_EQ(*client.read_all(1000), "b\r\ndata: two\n\n\r\n0\r\n\r\n");
      });
}

TEST_F(HttpEventsTest, AQuietStreamIsKeptAlive) {
  const Signal more("more");
  const Signal done;
  with_events(
      [&](EventWriter& events) {
        more.wait();
        events.send({.data = "x"});
        done.wait();
      },
      {.keep_alive = absl::Seconds(10)},
      [&](Socket& client, VirtualClock& clock) {
        yield_until_idle();
        clock.advance(absl::Seconds(9));
        yield_until_idle();
        more.go();
        EXPECT_EQ(*client.read_until("\n\n\r\n"), "9\r\ndata: x");
        clock.advance(absl::Seconds(9));
        yield_until_idle();
        EXPECT_EQ(client.buffered(), "") << "an event counts";
        clock.advance(absl::Seconds(1));
        EXPECT_EQ(*client.read_until("\r\n"), "4");
        EXPECT_EQ(*client.read_until("\r\n"), ": \n\n");
        done.go();
        EXPECT_EQ(*client.read_all(1000), "0\r\n\r\n");
      });
}

TEST_F(HttpEventsTest, ItEndsWhenTheClientHasGone) {
  bool was_told = false;
  with_events(
      [&](EventWriter& events) {
        events.ended().wait();
        was_told = true;
      },
      {}, [&](Socket& client, VirtualClock&) { client.close(); });
  EXPECT_TRUE(was_told);
}

// The stream goes on until its function ends, and so does what keeps it alive.
TEST_F(HttpEventsTest, ADrainDoesNotCutIt) {
  const Signal drain("drain"), done("done");
  on_virtual_time([&](VirtualClock& clock) {
    auto [here, there] = Socket::pair();
    auto server = spawn("server", [&, socket = std::move(there)](const Signal&) mutable {
      serve_http_connection(
          socket, [&](Request&) { return Response::events([&](EventWriter&) { done.wait(); }, {.keep_alive = absl::Seconds(1)}); }, {.draining = drain});
    });
    here.write_all("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_TRUE(here.read_until("\r\n\r\n"));
    server.stop();
    drain.go();
    yield_until_idle();
    clock.advance(absl::Seconds(1));
    EXPECT_EQ(*here.read_until("\n\n\r\n"), "4\r\n: ");
    done.go();
    EXPECT_EQ(*here.read_all(1000), "0\r\n\r\n");
    here.close();
    server.join();
  });
}

// Of one that was cut nobody takes the rest for another, and nobody else is cancelled.
TEST_F(HttpEventsTest, AFiberThatIsCancelledWithinOneEndsTheStreamAlone) {
  LogLines lines;
  bool was_closed = false;
  on_virtual_time([&](VirtualClock&) {
    auto [here, there] = Socket::pair();
    there.set_send_buffer(4096);
    auto server = spawn("server", [&, socket = std::move(there)]() mutable {
      serve_http_connection(socket, [&](Request&) {
        return Response::events([&](EventWriter& events) {
          auto sender = spawn("sender", [&] { events.send({.data = std::string(1 << 20, 'x')}); });
          yield_until_idle();
          sender.cancel();
          EXPECT_THROW(sender.join(), WasCancelled);
          EXPECT_TRUE(events.ended());
          try {
            events.send({.data = "next"});
          } catch (const Closed&) {
            was_closed = true;
            throw;
          }
        });
      });
    });
    here.write_all("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    server.join();
  });
  EXPECT_TRUE(was_closed);
}

// A client that takes nothing: the keep-alive finds out, and the function is told.
TEST_F(HttpEventsTest, ItEndsWhenTheClientTakesNothing) {
  LogLines lines;
  bool was_told = false;
  on_virtual_time([&](VirtualClock& clock) {
    auto [here, there] = Socket::pair();
    there.set_send_buffer(4096);
    auto server = spawn("server", [&, socket = std::move(there)]() mutable {
      serve_http_connection(
          socket,
          [&](Request&) {
            return Response::events([&](EventWriter& events) {
              const Signal ended = events.ended();
              try {
                while (!ended) events.send({.data = std::string(1000, 'x')});
              } catch (const WriteTimedout&) {
                was_told = static_cast<bool>(ended);
                throw;
              }
            });
          },
          {.write_limit = absl::Seconds(5)});
    });
    here.write_all("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    yield_until_idle();
    clock.advance(absl::Seconds(5));
    server.join();
  });
  EXPECT_TRUE(was_told);
}

// Whoever writes a long one waits for its client in the middle of it.
TEST_F(HttpEventsTest, ThoseOfSeveralFibersDoNotMix) {
  constexpr int kEach = 20;
  with_events(
      [&](EventWriter& events) {
        const auto send = [&](char what) {
          for (int i = 0; i < kEach; ++i) {
            events.send({.data = std::string(60'000, what)});
            yield();
          }
        };
        auto other = spawn("other", [&] { send('b'); });
        send('a');
        other.join();
      },
      {.keep_alive = absl::Seconds(1)},
      [&](Socket& client, VirtualClock& clock) {
        int whole = 0;
        client.set_max_line(100'000);
        while (auto size = client.read_until("\r\n")) {
          if (*size == "0") break;
          const std::string event = *client.read_until("\r\n");
          clock.advance(absl::Milliseconds(100));
          if (event == ": \n\n") continue;
          ASSERT_THAT(event, StartsWith("data: "));
          ASSERT_EQ(event, "data: " + std::string(60'000, event[6]) + "\n\n");
          ++whole;
        }
        EXPECT_EQ(whole, 2 * kEach);
      });
}

}  // namespace
}  // namespace cooperative::http
