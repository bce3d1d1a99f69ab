// WebSockets whose messages are given to functions: other fibers that write and close, and those that belong to the connection.

#include <cstdint>
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
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "tests/cooperative/http/websocket_hub.h"
#include "tests/cooperative/http/websocket_side.h"
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

class WebSocketCallersTest : public mothreads::testing::NothingLeft {};

// --- other fibers ------------------------------------------------------------------------------------------------------------

TEST_F(WebSocketCallersTest, AnotherFiberClosesOneThatRests) {
  on_virtual_time([](VirtualClock& clock) {
    Hub hub;
    Guest guest(hub, clock);
    auto closes = spawn("closes", [&member = *hub.members.front()] {
      member.close(4000, "enough");
      EXPECT_EQ(member.close_code(), 4000) << "it is there until the call has ended";
    });
    EXPECT_EQ(guest.client.read().why(), Why::closed);
    EXPECT_EQ(guest.client.close_code(), 4000);
    closes.join();
    yield_until_idle();
    EXPECT_THAT(hub.closed, ElementsAre(4000));
    EXPECT_THAT(hub.members, IsEmpty());
    guest.stream.close();
    guest.site.stop().join();
  });
}

TEST_F(WebSocketCallersTest, AWriteThatIsCutEndsOneThatRests) {
  on_virtual_time([](VirtualClock& clock) {
    Hub hub;
    Guest guest(hub, clock);
    EXPECT_THROW(hub.members.front()->write_text(kMuch, absl::ZeroDuration()), WriteTimedout);
    yield_until_idle();
    EXPECT_THAT(hub.members, IsEmpty());
    EXPECT_THAT(hub.closed, ElementsAre(1006));
    guest.stream.close();
    guest.site.stop().join();
  });
}

// A client that does not answer a close, and sends: the close without a limit and the turn do not wait for each other.
TEST_F(WebSocketCallersTest, ACloseByAnotherFiberHasALimit) {
  on_virtual_time([](VirtualClock& clock) {
    Hub hub;
    Guest guest(hub, clock, {.close_limit = absl::Seconds(4)});
    auto closes = spawn("closes", [&] { hub.members.front()->close(4000); });
    auto gives_up = spawn("gives up", [&] { hub.members.front()->close(4001, {}, absl::Seconds(1)); });
    for (int i = 0; i < 3; ++i) {
      guest.stream.write_all(frame(0x81, "dropped") + frame(0x89, "ping"));
      pass(clock, absl::Seconds(1));
      EXPECT_TRUE(closes.is_alive());
    }
    EXPECT_THROW(gives_up.join(), Timedout);
    pass(clock, absl::Seconds(1));
    EXPECT_FALSE(closes.is_alive());
    closes.join();
    EXPECT_THAT(hub.got, ElementsAre("first"));
    EXPECT_THAT(hub.closed, ElementsAre(1006));
    guest.stream.close();
    guest.site.stop().join();
  });
}

TEST_F(WebSocketCallersTest, AFunctionThatWaitsForAClosingFiberWaitsNotForEver) {
  on_virtual_time([](VirtualClock& clock) {
    Hub hub;
    Guest guest(hub, clock, {.close_limit = absl::Seconds(4)});
    guest.client.write_text("join a close");
    pass(clock, absl::Seconds(4));
    EXPECT_THAT(hub.closed, SizeIs(1));
    EXPECT_EQ(hub.gone, 1);
    guest.stream.close();
    guest.site.stop().join();
  });
}

// One writes, two wait for their turns, one closes: all come out before the WebSocket is destroyed.
TEST_F(WebSocketCallersTest, WhoeverIsInsideOfACallIsLetGo) {
  enum class End { client_closes, function_throws, silence, deadline };
  for (const End end : {End::client_closes, End::function_throws, End::silence, End::deadline}) {
    on_virtual_time([&](VirtualClock& clock) {
      Hub hub;
      const bool is_deadline = end == End::deadline;
      Guest guest(hub, clock, {.close_limit = absl::Seconds(1), .idle_limit = absl::Seconds(5)}, {.drain = absl::ZeroDuration()});
      WebSocket& member = *hub.members.front();
      std::vector<Fiber<void>> inside;
      for (int i = 0; i < 3; ++i) {
        inside.push_back(spawn("writer", [&] { member.write_text(kMuch, absl::Hours(1)); }));
      }
      inside.push_back(spawn("pings", [&] { member.ping({}, absl::Hours(1)); }));
      if (is_deadline) inside.push_back(spawn("closes", [&] { member.close(4000, {}, absl::Hours(1)); }));
      yield_until_idle();
      switch (end) {
        case End::client_closes: guest.stream.write_all(frame(0x88, "\x03\xE8")); break;
        case End::function_throws: guest.stream.write_all(frame(0x81, "throw")); break;
        case End::silence: pass(clock, absl::Seconds(5)); break;
        case End::deadline: guest.site.stop(); break;
      }
      for (int i = 0; i < 2; ++i) pass(clock, absl::Seconds(1));
      for (Fiber<void>& one : inside) {
        EXPECT_FALSE(one.is_alive());
        try {
          one.join();
        } catch (const std::exception&) {
        }
      }
      EXPECT_EQ(hub.gone, 1);
      guest.stream.close();
      guest.site.stop().join();
    });
  }
}

// The same where the connection has a fiber, which is cancelled.
TEST_F(WebSocketCallersTest, TheFiberOfAConnectionIsCancelledWhileOthersWriteAndClose) {
  on_virtual_time([](VirtualClock& clock) {
    Hub hub;
    const Handler handler = hub.handler();
    auto [ours, theirs] = Socket::pair();
    auto server = spawn("server", [&, &theirs = theirs] { serve_http_connection(theirs, handler); });
    WebSocket client = connect_websocket(ours, "here", "/");
    EXPECT_EQ(echo(client, "a"), "a");
    pass(clock, kSoon);
    auto writer = spawn("writer", [&] { hub.members.front()->write_text(kMuch); });
    auto closes = spawn("closes", [&] { hub.members.front()->close(); });
    yield_until_idle();
    server.cancel();
    EXPECT_THROW(server.join(), WasCancelled);
    EXPECT_THROW(writer.join(), Closed);
    closes.join();
    EXPECT_EQ(hub.gone, 1);
    EXPECT_THAT(hub.closed, IsEmpty());
  });
}

// Its holder may not come to it for long.
TEST_F(WebSocketCallersTest, AMessageInPiecesMayOutliveItsWebSocket) {
  for (const bool is_deadline : {false, true}) {
    on_virtual_time([&](VirtualClock& clock) {
      Hub hub;
      Guest guest(hub, clock, {}, {.drain = absl::ZeroDuration()});
      const Signal go_on("go on");
      auto holder = spawn("holder", [&] {
        WebSocketWriter begun = hub.members.front()->begin_text();
        begun.write("a piece");
        WebSocketWriter out = std::move(begun);
        go_on.wait();
        EXPECT_THROW(out.write("another"), Closed);
        EXPECT_THROW(out.end(), Closed);
      });
      yield_until_idle();
      if (is_deadline) {
        guest.site.stop();
      } else {
        guest.stream.write_all(frame(0x88, "\x03\xE8"));
      }
      yield_until_idle();
      EXPECT_EQ(hub.gone, 1);
      go_on.go();
      holder.join();
      guest.stream.close();
      guest.site.stop().join();
    });
  }
}

// --- fibers of the connection ------------------------------------------------------------------------------------------------

TEST_F(WebSocketCallersTest, FibersOfTheConnectionOutliveATurn) {
  for (const bool is_deadline : {false, true}) {
    on_virtual_time([&](VirtualClock& clock) {
      struct Ticks {
        explicit Ticks(std::vector<std::string>& its_events) : events(its_events) {}
        Ticks(const Ticks&) = delete;
        Ticks& operator=(const Ticks&) = delete;
        std::vector<std::string>& events;
        ~Ticks() { events.push_back("destroyed"); }
      };
      std::vector<std::string> events;
      Site site = serve_http(
          Address::loopback(0),
          [&](Request& request) {
            auto ticks = std::make_shared<Ticks>(events);
            return accept_websocket(request, {.on_message =
                                                  [ticks](WebSocket& socket, const WebSocketMessage& message) {
                                                    const std::string name = message.data;
                                                    spawn({.name = name, .parent = socket.fibers()}, [name, &socket, ticks = ticks.get()](const Signal& stop) {
                                                      while (!stop.wait(absl::Seconds(1))) socket.write_text(name);
                                                      ticks->events.push_back(name + " stops");
                                                    }).release();
                                                  },
                                              .on_close = [ticks](WebSocket&) { ticks->events.push_back("closed"); }});
          },
          {.drain = absl::ZeroDuration()});
      Socket stream = connect(site.address());
      WebSocket client = connect_websocket(stream, "here", "/");
      for (const char* const name : {"a", "b"}) {
        client.write_text(name);
        pass(clock, kSoon);
      }
      for (int i = 0; i < 3; ++i) {
        pass(clock, absl::Seconds(1));
        EXPECT_EQ(client.read()->data, "a");
        EXPECT_EQ(client.read()->data, "b");
      }
      if (is_deadline) {
        site.stop();
        pass(clock, absl::ZeroDuration());
        EXPECT_THAT(events, ElementsAre("b stops", "a stops", "destroyed"));
      } else {
        client.close();
        yield_until_idle();
        EXPECT_THAT(events, ElementsAre("closed", "b stops", "a stops", "destroyed"));
      }
      stream.close();
      site.stop().join();
    });
  }
}

TEST_F(WebSocketCallersTest, AFiberOfTheConnectionMayCloseIt) {
  on_virtual_time([](VirtualClock& clock) {
    Site site = serve_http(Address::loopback(0), [&](Request& request) {
      return accept_websocket(request, {.on_message = [](WebSocket&, const WebSocketMessage&) {},
                                        .on_open = [](WebSocket& socket) {
                                          spawn({.name = "closes", .parent = socket.fibers()}, [&socket] {
                                            sleep(absl::Seconds(5));
                                            socket.close(4000);
                                            EXPECT_THROW(static_cast<void>(socket.fibers()), Closed);
                                          }).release();
                                        }});
    });
    Socket stream = connect(site.address());
    WebSocket client = connect_websocket(stream, "here", "/");
    pass(clock, absl::Seconds(1));
    pass(clock, absl::Seconds(4));
    EXPECT_EQ(client.read().why(), Why::closed);
    EXPECT_EQ(client.close_code(), 4000);
    stream.close();
    site.stop().join();
  });
}

// --- a pong that is owed -----------------------------------------------------------------------------------------------------

// The other side takes nothing, and pings: it is not silent.
TEST_F(WebSocketCallersTest, PingsWhileAPongIsOwedAreNoSilence) {
  on_virtual_time([](VirtualClock& clock) {
    Hub hub;
    Guest guest(hub, clock, {.write_limit = absl::Minutes(1), .idle_limit = absl::Seconds(5)});
    auto writer = spawn("writer", [&] { hub.members.front()->write_text(kMuch); });
    yield_until_idle();
    for (int i = 0; i < 5; ++i) {
      guest.stream.write_all(frame(0x89, std::to_string(i)));
      pass(clock, absl::Seconds(4));
    }
    EXPECT_THAT(hub.members, SizeIs(1));
    EXPECT_EQ(guest.client.read()->data.size(), kMuch.size());
    writer.join();
    pass(clock, kSoon);
    EXPECT_EQ(echo(guest.client, "b"), "b");
    EXPECT_EQ(guest.client.pongs(), 1u) << "of those that were owed the newest has gone";
    pass(clock, kSoon);
    Scheduler::current().set_options({.max_fibers = 4});  // it rests again
    EXPECT_EQ(echo(guest.client, "c"), "c");
    Scheduler::current().set_options({.max_fibers = 100});
    guest.client.close();
    guest.stream.close();
    guest.site.stop().join();
  });
}

TEST_F(WebSocketCallersTest, APongIsOwedNoLongerThanAWriteMayTake) {
  LogLines log;
  on_virtual_time([](VirtualClock& clock) {
    Hub hub;
    Guest guest(hub, clock, {.write_limit = absl::Seconds(20), .close_limit = absl::Seconds(1), .idle_limit = absl::Seconds(5)});
    auto writer = spawn("writer", [&] { hub.members.front()->write_text(kMuch, absl::Hours(1)); });
    yield_until_idle();
    for (int i = 0; i < 5; ++i) {
      EXPECT_THAT(hub.members, SizeIs(1)) << i;
      guest.stream.write_all(frame(0x89, std::to_string(i)));
      pass(clock, absl::Seconds(4));
    }
    EXPECT_THAT(hub.members, IsEmpty());
    EXPECT_THAT(hub.closed, ElementsAre(1006));
    EXPECT_THROW(writer.join(), Closed);
    guest.stream.close();
    guest.site.stop().join();
  });
  EXPECT_THAT(log.with("did not take a pong in time"), SizeIs(1));
}

// And silence is silence, whatever is owed.
TEST_F(WebSocketCallersTest, SilenceWhileAPongIsOwedEnds) {
  on_virtual_time([](VirtualClock& clock) {
    Hub hub;
    Guest guest(hub, clock, {.close_limit = absl::Seconds(1), .idle_limit = absl::Seconds(5)});
    auto writer = spawn("writer", [&] { hub.members.front()->write_text(kMuch); });
    yield_until_idle();
    guest.stream.write_all(frame(0x89, "?"));
    pass(clock, absl::Seconds(5) - absl::Nanoseconds(1));
    EXPECT_TRUE(hub.members.front()->is_open());
    pass(clock, absl::Nanoseconds(1));
    EXPECT_FALSE(hub.members.front()->is_open());
    pass(clock, absl::Seconds(1));
    pass(clock, absl::Seconds(1));
    EXPECT_THAT(hub.members, IsEmpty());
    EXPECT_THROW(writer.join(), Closed);
    guest.stream.close();
    guest.site.stop().join();
  });
}

}  // namespace
}  // namespace cooperative::http
