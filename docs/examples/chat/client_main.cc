// chat_client HOST PORT NAME
//
// Says what it reads on standard input, and writes what others say to standard output. The end of its input, or Ctrl-C, ends it; what
// others said until then is still shown.

#include <cstdint>
#include <string>

#include <CLI/CLI.hpp>

#include "absl/time/time.h"
#include "cooperative/fiber.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/framed.h"
#include "cooperative/io/pipe.h"
#include "docs/examples/command_line.h"

namespace co = cooperative;

namespace {

void talk(const std::string& host, std::uint16_t port, const std::string& name, const mothreads::Signal& please_stop) {
  co::Socket server = co::connect(host, port, please_stop | absl::Seconds(10));
  co::send_msg(server, name);
  auto hearing = co::spawn("hearing", [&server](const mothreads::Signal&) {  // to the end, also when we are stopped
    co::Pipe out = co::Pipe::standard_output();
    while (const co::ReceivedText line = co::recv_msg(server)) out.write_all(*line + "\n");
  });
  co::Pipe in = co::Pipe::standard_input();
  // The server may go first.
  while (const co::ReceivedText line = in.read_line(please_stop | hearing.stopped())) co::send_msg(server, *line);
  server.shut_down_writing();
  hearing.join(absl::Seconds(5));
}

}  // namespace

int main(int argc, char** argv) {
  std::string host;
  std::uint16_t port = 0;
  std::string name;
  CLI::App app("Talks in the room of a chat_server.", "chat_client");
  app.add_option("HOST", host)->required();
  app.add_option("PORT", port)->required();
  app.add_option("NAME", name)->required();
  if (const auto code = examples::parse(app, argc, argv)) return *code;

  return examples::run([&](const mothreads::Signal& please_stop) {
    talk(host, port, name, please_stop);
    return 0;
  });
}
