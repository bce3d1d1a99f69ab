// What clients and networks do to a server: whole ones, over TCP. The server goes on, loses nothing silently, and keeps nothing.

#include <cerrno>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/cleanup/cleanup.h"
#include "absl/time/time.h"
#include "cooperative/event.h"
#include "cooperative/fiber_group.h"
#include "cooperative/http/client.h"
#include "cooperative/http/message.h"
#include "cooperative/http/server.h"
#include "cooperative/http/websocket.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/server.h"
#include "cooperative/io/socket.h"
#include "cooperative/sleep.h"
#include "mothreads/ended.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/testing/virtual_clock.h"
#include "tests/support/nothing_left.h"
#include "tests/support/virtual_time.h"

namespace cooperative::inline v0::http {
namespace {

using mothreads::Signal;
using mothreads::Why;
using mothreads::testing::LogLines;
using mothreads::testing::NothingLeft;
using mothreads::testing::VirtualClock;
using ::testing::HasSubstr;

constexpr std::string_view kRequest = "POST /echo HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\n\r\nhello";
constexpr std::size_t kLarge = 16 << 20;  // more than two sockets hold

Response respond(Request& request) {
  if (request.raw_path() == "/large") return Response::text(200, std::string(kLarge, 'x'));
  if (request.raw_path() == "/socket") {
    return accept_websocket(request, [](WebSocket& socket) {
      while (socket.read()) {
      }
    });
  }
  return Response::text(200, "got " + request.body().read_all(4096));
}

class FaultsTest : public NothingLeft {
 protected:
  // Runs `body` on a thread with a server, whose connections are all gone in the end.
  template <typename Body>
  void with_server(Body&& body) {
    mothreads::testing::on_clock(clock, [&] {
      auto server = serve_tcp(Address::loopback(0), [](Socket& client, const Signal& please_stop) {
        ConnectionOptions options;
        options.draining = please_stop;
        serve_http_connection(client, respond, options);
      });
      body(server);
      while (server.statistics().connections > 0) yield();
      EXPECT_EQ(server.statistics().cancelled, 0U);
    });
  }

  static void expect_it_still_serves(const Server& server) {
    Socket client = connect(server.address());
    client.write_all(kRequest);
    EXPECT_EQ(*client.read_line(), "HTTP/1.1 200 OK");
    client.shut_down_writing();
    EXPECT_THAT(*client.read_all(4096), HasSubstr("got hello"));
  }

  // A client that leaves is no fault of the server's, and who reads the log wants to know which one it was.
  void expect_only_information_with_addresses() {
    for (const auto& line : log.with("")) EXPECT_EQ(line.level, mothreads::log::Level::info) << line.text;
    for (const auto& line : log.with("the client left")) EXPECT_THAT(line.text, HasSubstr(" to 127.0.0.1:"));
  }

  static void reset(Socket& client) {
    client.set_linger(absl::ZeroDuration());
    client.close();
  }

  VirtualClock clock;
  LogLines log;
};

TEST_F(FaultsTest, AClientThatResetsAfterAnyByteOfItsRequest) {
  with_server([&](const Server& server) {
    for (std::size_t sent = 0; sent <= kRequest.size(); ++sent) {
      Socket client = connect(server.address());
      if (sent > 0) client.write_all(kRequest.substr(0, sent));
      if (sent % 2 == 0) yield_until_idle(absl::ZeroDuration());  // also before the server has seen any of it
      reset(client);
    }
    expect_it_still_serves(server);
    while (server.statistics().connections > 0) yield();
    EXPECT_GT(log.with("the client left before it had its answer").size(), kRequest.size() / 4);
    expect_only_information_with_addresses();
  });
}

TEST_F(FaultsTest, AClientThatEndsAfterAnyByteOfItsRequest) {
  with_server([&](const Server& server) {
    for (std::size_t sent = 0; sent <= kRequest.size(); ++sent) {
      Socket client = connect(server.address());
      client.write_all(kRequest.substr(0, sent));
      client.shut_down_writing();
      const ReceivedText answer = client.read_all(4096);
      EXPECT_TRUE(answer) << "after " << sent << " bytes";
      EXPECT_EQ(answer->find("got hello") != std::string::npos, sent == kRequest.size()) << "after " << sent << " bytes";
    }
    // All but the first, which asked nothing, and the last, which was answered.
    EXPECT_EQ(log.with("the client left before it had its answer").size(), kRequest.size() - 1);
    expect_only_information_with_addresses();
  });
}

TEST_F(FaultsTest, AClientThatResetsInTheMiddleOfItsResponse) {
  with_server([&](const Server& server) {
    for (int i = 0; i < 20; ++i) {
      Socket client = connect(server.address());
      client.write_all("GET /large HTTP/1.1\r\nHost: here\r\n\r\n");
      EXPECT_EQ(*client.read_line(), "HTTP/1.1 200 OK");
      reset(client);
    }
    while (server.statistics().connections > 0) yield();
    EXPECT_EQ(log.with("the client left before it had its answer").size(), 20U);
    expect_only_information_with_addresses();
    expect_it_still_serves(server);
  });
}

TEST_F(FaultsTest, AClientThatResetsItsWebSocket) {
  with_server([&](const Server& server) {
    Socket client = connect(server.address());
    const WebSocket socket = connect_websocket(client, "here", "/socket");
    yield_until_idle(absl::ZeroDuration());
    reset(client);
    while (server.statistics().connections > 0) yield();
    EXPECT_EQ(log.with("the client left: ").size(), 1U);
    expect_only_information_with_addresses();
  });
}

TEST_F(FaultsTest, AClientThatWritesByteByByte) {
  with_server([&](const Server& server) {
    Socket client = connect(server.address());
    for (const char byte : kRequest) {
      client.write_all(std::string_view(&byte, 1));
      yield_until_idle(absl::ZeroDuration());
    }
    EXPECT_EQ(*client.read_line(), "HTTP/1.1 200 OK");
  });
}

TEST_F(FaultsTest, AClientThatReadsSlowlyGetsAllOfIt) {
  with_server([&](const Server& server) {
    Socket client = Socket::tcp();
    client.set_receive_buffer(4096);
    client.connect(server.address());
    client.write_all("GET /large HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
    std::size_t got = 0;
    std::vector<std::byte> room(64 * 1024);
    absl::Duration taken;
    while (const Received some = client.read_exact(room)) {
      got += some.size();
      // Much longer in all than the limit of a write, but not between two of which the server hears.
      clock.advance(absl::Seconds(2));
      taken += absl::Seconds(2);
      yield_until_idle(absl::ZeroDuration());
    }
    EXPECT_GT(got + room.size(), kLarge);
    EXPECT_LT(got, kLarge + 1000);
    EXPECT_GT(taken, absl::Minutes(8));
    expect_it_still_serves(server);
  });
}

// A peer whose machine has gone says nothing any more.
TEST_F(FaultsTest, AClientThatFallsSilentIsLetGoByTheLimit) {
  with_server([&](const Server& server) {
    Socket half = connect(server.address());
    half.write_all(kRequest.substr(0, 10));
    Socket idle = connect(server.address());
    while (server.statistics().connections < 2) yield();
    yield_until_idle(absl::ZeroDuration());
    clock.advance(absl::Seconds(61));  // past the limits of a head, and of idleness
    EXPECT_TRUE(half.read_all(4096));
    EXPECT_EQ(*idle.read_all(4096), "");
  });
}

TEST_F(FaultsTest, TenThousandClientsThatConnectAndVanish) {
  with_server([&](const Server& server) {
    for (int i = 0; i < 10'000; ++i) {
      Socket client = connect(server.address());
      if (i % 3 == 0) client.write_all(kRequest.substr(0, static_cast<std::size_t>(i) % kRequest.size()));
      if (i % 2 == 0) reset(client);
    }
    expect_it_still_serves(server);
    EXPECT_EQ(server.statistics().accepted, 10'001U);
  });
}

}  // namespace
}  // namespace cooperative::http
