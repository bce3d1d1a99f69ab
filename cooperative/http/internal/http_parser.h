#pragma once

// Boost.Beast's parser behind a wall: its headers are for http_parser.cc alone. It parses where the bytes are, in the buffer of a stream,
// and keeps no copy of them.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "cooperative/http/headers.h"
#include "cooperative/http/http_body.h"

namespace cooperative::inline v0::http::internal {

// The content of a head; the views show the text that was parsed.
struct HttpHead {
  std::string_view method, target;  // of a request
  int status = 0;  // of a response
  std::string_view reason;
  int minor_version = 1;
  int hosts = 0;
  std::string_view host;
  bool expects_continue = false;
  bool expects_other = false;
  bool keeps_alive = false;  // by its version and its Connection
  bool is_upgrade = false;
  Body::Framing framing = Body::Framing::none;
  std::uint64_t size = 0;
};

class HttpParser {
 public:
  enum class Kind : bool { request, response };
  enum class Step : std::uint8_t {
    need_more,
    done,
    bad,
    bad_version,      // of another major version, but well-formed
    unknown_coding,   // a Transfer-Encoding that we do not know, around chunks
  };

  explicit HttpParser(Kind kind);
  ~HttpParser();
  HttpParser(const HttpParser&) = delete;
  HttpParser& operator=(const HttpParser&) = delete;

  // Another message. The response to a HEAD has no body, whatever it says.
  void begin(Headers& headers, bool has_no_body = false);
  // All of the head that there is, from its first byte. Once it is `done` the headers borrow that text.
  Step parse_head(std::string_view text);
  const HttpHead& head() const;
  std::size_t head_size() const;  // once it is done
  // The text has moved, or been copied.
  void move_head(const char* text);
  std::string_view why() const;  // it is bad

  // A body in chunks: what comes next. `consumed` of the text are done with, among them the body that was copied to `into`.
  struct Chunk {
    Step step;  // `done` at the end of the body; `need_more` when nothing was copied for want of text
    std::size_t consumed;
    std::size_t copied;
  };
  Chunk parse_chunks(std::string_view text, char* into, std::size_t room);

 private:
  struct State;
  struct Impl;
  template <bool is_request>
  struct Beast;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace cooperative::http::internal
