#pragma once

// A server's side of a connection, with a client that is a text.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "cooperative/http/server.h"
#include "tests/support/scripted_stream.h"

namespace cooperative::inline v0::testing {

struct Served {
  std::string output;
  std::vector<std::string> requests;  // that the handler got: "GET /path"
  bool is_closed;
  std::size_t unread;

  // Of the responses in `output`, whose bodies must not look like heads.
  std::vector<int> statuses() const {
    std::vector<int> found;
    constexpr std::string_view kMark = "HTTP/1.1 ";
    for (std::size_t at = output.find(kMark); at != std::string::npos; at = output.find(kMark, at + 1)) {
      found.push_back(std::stoi(output.substr(at + kMark.size(), 3)));
    }
    return found;
  }
};

inline http::Response say_hello(http::Request& request) { return http::Response::text(200, "hello " + std::string(request.target())); }

// Serves what `input` says, which comes in pieces of so many bytes, to the end of the connection.
inline Served serve(std::string input, const http::Handler& handler = say_hello, const http::ConnectionOptions& options = {},
                    std::size_t piece = std::string::npos, ScriptedStream::Then then = ScriptedStream::Then::end) {
  ScriptedStream stream(std::move(input), piece, then);
  Served served;
  http::serve_http_connection(
      stream,
      [&](http::Request& request) {
        served.requests.push_back(std::string(request.method()) + " " + std::string(request.target()));
        return handler(request);
      },
      options);
  served.output = stream.take_output();
  served.is_closed = !stream.is_open();
  served.unread = stream.unread();
  return served;
}

}  // namespace cooperative::testing
