// chat_server [--address IP] [--port PORT]
//
// A room for chat_client: what one says all others hear. Prints its port. Ctrl-C tells the members, and ends.

#include <cstdint>
#include <cstdio>
#include <string>

#include <CLI/CLI.hpp>

#include "cooperative/io/server.h"
#include "cooperative/io/socket.h"
#include "docs/examples/chat/room.h"
#include "docs/examples/command_line.h"

namespace co = cooperative;

int main(int argc, char** argv) {
  std::string ip = "127.0.0.1";
  std::uint16_t port = 0;
  CLI::App app("A room for chat_client.", "chat_server");
  app.add_option("--address", ip, "The address to listen at")->capture_default_str();
  app.add_option("--port", port, "0 for any")->capture_default_str();
  if (const auto code = examples::parse(app, argc, argv)) return *code;

  return examples::run([&](const mothreads::Signal& please_stop) {
    chat::Room room;
    auto server = co::serve_tcp(
        co::Address(ip, port), [&](co::Socket& client, const mothreads::Signal& stop) { room.serve(client, stop); }, {.name = "chat"});
    std::printf("%d\n", server.port());
    std::fflush(stdout);
    please_stop.wait();
    server.stop().join();
    return 0;
  });
}
