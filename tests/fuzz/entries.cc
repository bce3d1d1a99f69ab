#include "tests/fuzz/entries.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/http/client.h"
#include "cooperative/http/internal/beneath.h"
#include "cooperative/http/internal/conditions.h"
#include "cooperative/http/internal/target.h"
#include "cooperative/http/internal/utf8.h"
#include "cooperative/http/internal/websocket_frames.h"
#include "cooperative/http/server.h"
#include "cooperative/http/websocket.h"
#include "cooperative/io/address.h"
#include "cooperative/io/framed.h"
#include "cooperative/io/io_error.h"
#include "mothreads/log.h"
#include "tests/fuzz/entry_parts.h"
#include "tests/support/scripted_stream.h"

namespace cooperative::inline v0::fuzz {

using testing::ScriptedStream;

namespace {

// In whatever pieces something comes, it is the same.
void require_same(const std::string& seen, const std::string& other) {
  if (seen == other) return;
  std::fprintf(stderr, "fuzzing: in other pieces, another meaning:\n%s\n--- and\n%s\n", seen.c_str(), other.c_str());
  std::fflush(stderr);
  std::abort();
}

// A million refusals are no news.
void be_quiet() {
  static const bool once = [] {
    mothreads::log::set_level(mothreads::log::Level::critical);
    return true;
  }();
  static_cast<void>(once);
}

// Takes the byte that says how, if there is one.
unsigned take_choice(std::string_view& input) {
  if (input.empty()) return 0;
  const auto choice = static_cast<unsigned char>(input.front());
  input.remove_prefix(1);
  return choice;
}

std::size_t piece_of(unsigned choice) {
  constexpr std::array<std::size_t, 4> kPieces{std::string::npos, 1, 3, 17};
  return kPieces[choice & 3];
}

// What came out, as what went in.
struct Seen {
  std::vector<std::string> requests;
  std::vector<std::string> bodies;
  std::string statuses;

  std::string text() const {
    std::string all;
    for (const std::string& request : requests) all += "request " + request + "\n";
    for (const std::string& body : bodies) all += "body " + body + "\n";
    return all + "statuses " + statuses + "\n";
  }
};

Seen serve(std::string_view input, std::size_t piece, unsigned how) {
  ScriptedStream stream{std::string(input), piece};
  Seen seen;
  const http::ConnectionOptions options{.max_head = 512, .max_target = 128, .max_body = 256, .linger_limit = absl::ZeroDuration()};
  http::serve_http_connection(
      stream,
      [&](http::Request& request) {
        std::string line(request.method());
        line.append(" ").append(request.path().value_or("?")).append(" ").append(request.host()).append(" ").append(request.query());
        line.append(request.query_value("a").value_or(""));
        seen.requests.push_back(line);
        for (std::size_t i = 0; i < request.headers().size(); ++i) {
          const auto [name, value] = request.headers()[i];
          require(http::is_http_token(name), "a name is no token");
          require(value.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos, "a value has the end of a line");
        }
        require(request.minor_version() == 0 || request.headers().count("Host") == 1, "not one Host");
        require(!request.headers().get("Transfer-Encoding") || !request.headers().get("Content-Length"), "two lengths");
        if ((how & 1) != 0) seen.bodies.push_back(request.body().read_all(200));
        if ((how & 2) != 0) {
          std::array<std::byte, 7> room;
          while (request.body().read_some(room)) {
          }
        }
        if ((how & 4) != 0) return http::Response::streamed("a/b", [](http::BodyWriter& out) { out.write("piece"); });
        if ((how & 8) != 0) return http::accept_websocket(request, [](http::WebSocket& socket) { static_cast<void>(socket.read()); });
        return http::Response::text(200, "body");
      },
      options);
  require(!stream.is_open(), "a connection was left open");
  // None follows a refusal, but for those of a handler's own.
  bool is_over = false;
  for (std::size_t at = stream.output().find("HTTP/1.1 "); at != std::string::npos; at = stream.output().find("HTTP/1.1 ", at + 1)) {
    const std::string status = stream.output().substr(at + 9, 3);
    require(!is_over, "an answer after a refusal");
    is_over = status == "400" && (how & 8) == 0;
    if (status != "100") seen.statuses += status + " ";  // said only while the body has not come
  }
  return seen;
}

}  // namespace

void http_request(std::string_view input) {
  be_quiet();
  const unsigned choice = take_choice(input);
  const Seen seen = serve(input, piece_of(choice), choice >> 2);
  require_same(serve(input, std::string::npos, choice >> 2).text(), seen.text());
  require_same(serve(input, 1, choice >> 2).text(), seen.text());
}

void http_response(std::string_view input) {
  be_quiet();
  const unsigned choice = take_choice(input);
  const auto ask = [&](std::size_t piece) {
    ScriptedStream stream{std::string(input), piece};
    http::Client client(stream, "host", {.max_head = 512, .max_body = 256});
    std::string seen;
    try {
      for (int i = 0; i < 2 && client.is_reusable(); ++i) {
        const http::Reply reply = client.request({.method = (choice & 4) != 0 ? "HEAD" : "GET"});
        require(reply.body.size() <= 256, "a body beyond its limit");
        require((reply.status >= 200 && reply.status <= 999) || reply.status == 101, "no status");
        seen += std::to_string(reply.status) + reply.reason + "|" + reply.body + "|";
        for (std::size_t k = 0; k < reply.headers.size(); ++k) seen.append(reply.headers[k].name).append(reply.headers[k].value);
      }
    } catch (const http::Error& error) {
      seen += "error";
      require(!client.is_reusable(), "an error, and the connection is good");
    } catch (const http::CutShort&) {
      seen += "cut";
    }
    return seen;
  };
  const std::string seen = ask(piece_of(choice));
  require_same(ask(std::string::npos), seen);
  if ((choice & 8) != 0) {
    ScriptedStream stream{std::string(input), piece_of(choice)};
    try {
      http::WebSocket socket = http::connect_websocket(stream, "host", "/");
    } catch (const http::Error&) {
    } catch (const http::CutShort&) {
    }
  }
}

void websocket(std::string_view input) {
  be_quiet();
  const unsigned choice = take_choice(input);
  const auto read = [&](std::size_t piece) {
    ScriptedStream stream{std::string(input), piece};
    const auto role = (choice & 4) != 0 ? http::internal::WebSocketFrames::Role::client : http::internal::WebSocketFrames::Role::server;
    http::WebSocket socket(std::make_unique<http::internal::WebSocketFrames>(stream, role, http::WebSocketOptions{.max_message = 300}, ""), mothreads::internal::kAccess);
    std::string seen;
    try {
      while (auto message = socket.read()) {
        require(message->data.size() <= 300, "a message beyond its limit");
        require(!message->is_text || http::internal::is_utf8(message->data), "a text that is no UTF-8");
        seen += message->data + "|";
      }
      seen += std::to_string(socket.close_code()) + socket.close_reason();
    } catch (const http::WebSocketError& error) {
      seen += "error " + std::to_string(error.code());
    }
    require(!socket.is_open(), "it goes on after its end");
    return seen;
  };
  const std::string seen = read(piece_of(choice));
  require_same(read(std::string::npos), seen);
}

void ranges(std::string_view input) {
  std::string path;
  if (http::internal::resolve_target_path(take_line(input), path)) {
    require(!path.starts_with('/') && path.find('\0') == std::string::npos, "a path that is not relative");
    for (std::string_view left = path; !left.empty();) {
      const std::string_view part = left.substr(0, left.find('/'));
      require(!part.empty() && part != "." && part != "..", "a path that is not plain");
      left.remove_prefix(std::min(left.size(), part.size() + 1));
    }
  }
  constexpr std::uint64_t kSize = 1000;
  constexpr std::size_t kMaxRanges = 5;
  const http::internal::HttpValidators validators{"\"tag\"", absl::FromUnixSeconds(784111777)};  // Sun, 06 Nov 1994 08:49:37 GMT
  http::Headers headers;
  while (!input.empty()) {
    const std::string_view line = take_line(input);
    const std::size_t colon = line.find(':');
    const std::string_view name = line.substr(0, colon);
    std::string value(colon == std::string_view::npos ? std::string_view() : line.substr(colon + 1));
    std::erase_if(value, [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; });
    if (http::is_http_token(name)) headers.add(name, http::http_trim(value));
  }
  const int status = http::internal::check_conditions(headers, validators);
  require(status == 0 || status == 304 || status == 412, "a status of its own");
  if (const auto asked = http::internal::ranges_of(headers, validators, kSize, kMaxRanges)) {
    require(asked->size() <= kMaxRanges, "too many ranges");
    std::uint64_t sum = 0;
    for (const http::internal::HttpRange& range : *asked) {
      require(range.size > 0 && range.offset < kSize && range.size <= kSize - range.offset, "a range outside of its file");
      sum += range.size;
    }
    require(sum <= kSize, "more than everything");
  }
}

void stream(std::string_view input) {
  const unsigned choice = take_choice(input);
  const auto read = [&](std::size_t piece) {
    ScriptedStream stream{std::string(input), piece};
    stream.set_max_line(20);
    std::string seen;
    const auto next = [&]() -> ReceivedText {
      switch (choice >> 2 & 3) {
        case 0: return stream.read_line();
        case 1: return stream.read_until("aab");
        case 2: return recv_msg(stream, {.max_message = 40});
        default: return stream.read_exact(7);
      }
    };
    try {
      while (const ReceivedText text = next()) {
        require(text->size() <= 40, "more than its limit");
        seen += *text + "|";
      }
      seen += "end";
    } catch (const TooLong&) {
      seen += "long";
    } catch (const CutOff&) {
      seen += "cut";
    }
    return seen;
  };
  const std::string seen = read(piece_of(choice));
  require_same(read(std::string::npos), seen);
  require_same(read(1), seen);
}

void address(std::string_view input) {
  const unsigned choice = take_choice(input);
  if ((choice & 17) == 16) {
    const auto url = http::internal::split_http_url(input);
    if (!url) return;
    require(url->port != 0 && !url->path.empty() && !url->authority.empty(), "a URL without one of its parts");
    require(url->authority.find(url->host) != std::string_view::npos, "a host from elsewhere");
    // What is made of its parts is the same.
    std::string again = "http://" + std::string(url->authority) + std::string(url->path) + "?" + std::string(url->query);
    const auto other = http::internal::split_http_url(again);
    require(other && other->host == url->host && other->port == url->port && other->path == url->path && other->query == url->query,
            "another URL from its parts");
    return;
  }
  if ((choice & 1) == 0) {
    const auto parsed = Address::parse(input, 80);
    if (!parsed) return;
    require(parsed->is_ip() && parsed->port() == 80, "neither an address nor none");
    require(parsed->to_string().ends_with(":80"), "a text without the port");
    // What it says of itself leads back to it.
    require(Address(parsed->ip(), 80) == *parsed, "another address from its text");
    return;
  }
  sockaddr_storage given{};
  const std::size_t size = std::min(input.size(), sizeof given);
  std::memcpy(&given, input.data(), size);
  if ((choice & 2) != 0) {
    constexpr std::array<sa_family_t, 4> kFamilies{AF_INET, AF_INET6, AF_UNIX, AF_UNSPEC};
    given.ss_family = kFamilies[choice >> 2 & 3];
  }
  try {
    const Address made(reinterpret_cast<const sockaddr*>(&given), static_cast<socklen_t>(size));
    require(made.size() <= sizeof(sockaddr_un), "longer than any");
    require(!made.to_string().empty(), "no text");
    require(made == Address(made.native(), made.size()), "another from what it gives");
    require(made.is_ip() || made.ip().empty(), "an IP address of what is none");
    static_cast<void>(made.is_multicast());
    static_cast<void>(made.path());
  } catch (const std::invalid_argument&) {
  }
}

}  // namespace cooperative::fuzz
