#pragma once

// A server's WebSockets whose messages are given to functions, and a client of it.

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/fiber.h"
#include "cooperative/http/serve_http.h"
#include "cooperative/http/server.h"
#include "cooperative/http/websocket.h"
#include "cooperative/io/connect.h"
#include "cooperative/sleep.h"
#include "mothreads/testing/virtual_clock.h"

namespace cooperative::inline v0::testing {

// As long as a connection keeps its fiber after a message.
inline constexpr absl::Duration kSoon = absl::Milliseconds(10);

inline void pass(mothreads::testing::VirtualClock& clock, absl::Duration duration) {
  yield_until_idle();
  clock.advance(duration);
  yield_until_idle();
}

// Whoever has said something gets it back. Some words are commands.
struct Hub {
  std::vector<http::WebSocket*> members;
  std::vector<std::string> got;
  std::vector<std::uint16_t> closed;  // on_close, with its code
  int gone = 0;                       // functions that were destroyed

  struct Member {
    explicit Member(Hub& its_hub) : hub(&its_hub) {}
    Member(const Member&) = delete;
    Member& operator=(const Member&) = delete;
    ~Member() {
      ++hub->gone;
      std::erase(hub->members, socket);
    }
    Hub* hub;
    http::WebSocket* socket = nullptr;
  };

  http::WebSocketHandler functions() {
    auto member = std::make_shared<Member>(*this);
    return {.on_message = [this](http::WebSocket& socket, http::WebSocketMessage message) { take(socket, message.data); },
            .on_open =
                [this, member](http::WebSocket& socket) {
                  member->socket = &socket;
                  members.push_back(&socket);
                },
            .on_close = [this](http::WebSocket& socket) { closed.push_back(socket.close_code()); }};
  }
  http::Handler handler(const http::WebSocketOptions& options = {}) {
    return [this, options](http::Request& request) { return http::accept_websocket(request, functions(), options); };
  }

 private:
  void take(http::WebSocket& socket, const std::string& data) {
    got.push_back(data);
    if (data == "throw") throw std::runtime_error("a message that nobody likes");
    if (data == "bye") return socket.close(4000);
    if (data == "read") return static_cast<void>(socket.read());
    if (data == "join a close") return spawn("closes", [&socket] { socket.close(4001); }).join();
    if (data != "all") return socket.write_text(data);
    for (http::WebSocket* one : members) one->write_text("to all");
  }
};

inline std::string echo(http::WebSocket& socket, std::string_view text) {
  socket.write_text(text);
  return socket.read()->data;
}

// A client of a hub's site; its WebSocket rests.
struct Guest {
  Guest(Hub& hub, mothreads::testing::VirtualClock& clock, const http::WebSocketOptions& options = {}, http::ServeOptions serve_options = {})
      : site(http::serve_http(Address::loopback(0), hub.handler(options), std::move(serve_options))),
        stream(connect(site.address())),
        client(http::connect_websocket(stream, "here", "/", {.max_message = 10'000'000})) {
    EXPECT_EQ(echo(client, "first"), "first");
    pass(clock, kSoon);
  }

  http::Site site;
  Socket stream;
  http::WebSocket client;
};

inline const std::string kMuch(8'000'000, 'x');  // more than a connection holds

}  // namespace cooperative::testing
