// Our side of the rows io.*: a fiber for each connection. Prints its port.
//
//     io_server           echoes what comes
//     io_server requests  takes 64 bytes at a time as a request, and answers it with the same
//     io_server http      says hello, or echoes the messages of a WebSocket: by functions at /functions, else by a fiber

#include <netinet/tcp.h>

#include <array>
#include <cstdio>
#include <span>
#include <string_view>
#include <utility>

#include "absl/time/time.h"
#include "cooperative/fiber.h"
#include "cooperative/fiber_group.h"
#include "cooperative/http/message.h"
#include "cooperative/http/serve_http.h"
#include "cooperative/http/websocket.h"
#include "cooperative/io/listen.h"
#include "cooperative/io/socket.h"

namespace {

namespace co = cooperative;
namespace http = cooperative::http;

void echo(co::Socket& client) {
  std::byte buffer[1024];
  while (const co::Received got = client.read_some(buffer)) client.write_all({buffer, got.size()});
}

void answer(co::Socket& client) {
  std::array<char, 64> request;
  while (client.read_exact(std::as_writable_bytes(std::span(request)))) {
    client.write_later({request.data(), request.size()});
    if (client.buffered().size() < request.size()) client.flush();
  }
}

http::Response respond(http::Request& request) {
  if (!request.headers().get("Upgrade")) return http::Response::text(200, "hello");
  if (request.raw_path() == "/functions") {
    return http::accept_websocket(request, {.on_message = [](http::WebSocket& socket, http::WebSocketMessage message) {
      socket.write_binary(message.data);
    }});
  }
  return http::accept_websocket(request, [](http::WebSocket& socket) {
    while (auto message = socket.read()) socket.write_binary(message->data);
  });
}

void serve_http(co::Socket&& listener) {
  http::ServeOptions options{.max_connections = 20'000};
  options.connection.idle_limit = absl::Minutes(10);
  http::serve_http(std::move(listener), respond, std::move(options)).join();
}

void serve(co::Socket& listener, void (*talk)(co::Socket&)) {
  co::FiberGroup connections("connections");
  while (true) {
    connections.spawn("connection", [talk, client = listener.accept()]() mutable {
      client.set_no_delay(true);
      try {
        talk(client);
      } catch (const co::IoError&) {
        // The client has gone.
      }
    });
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view mode = argc > 1 ? argv[1] : "";
  co::Socket listener = co::listen(co::Address::loopback(0));
  listener.set_option(IPPROTO_TCP, TCP_CONGESTION, "reno");  // as io_client.cc
  std::printf("%d\n", listener.local_address().port());
  std::fflush(stdout);
  if (mode == "http") serve_http(std::move(listener));
  serve(listener, mode == "requests" ? answer : echo);
}
