#pragma once

// The body of a message that comes: read whole, up to a limit, or piece by piece.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "cooperative/io/received.h"
#include "mothreads/instant.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {
class Stream;
}

namespace cooperative::inline v0::http {

namespace internal {
class HttpConnection;
class HttpParser;
class HttpReader;
}  // namespace internal

// The other side's message cannot be taken, and what a server answers to it: 400 when it is malformed, 413, 408. Thrown by a handler it is
// an answer, too, of that status; its text goes to the log, and never to the client.
class Error : public std::runtime_error {
 public:
  Error(int status, const std::string& what) : std::runtime_error(what), status_(status) {}
  int status() const { return status_; }

 private:
  int status_;
};

// A server's response cannot be taken by our Client. Its status() is always 502, "Bad Gateway": the fault is neither of our own client's request
// nor of the handler that asked that server.
class BadReply : public Error {
 public:
  enum class Fault : std::uint8_t {
    malformed,
    long_head,  // more than ClientOptions::max_head
    long_body,  // more than ClientOptions::max_body, or than the reader takes
  };

  BadReply(Fault fault, const std::string& what) : Error(502, what), fault_(fault) {}
  Fault fault() const { return fault_; }

 private:
  Fault fault_;
};

// The connection ended before the message did.
class CutShort : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Request;

class Body {
 public:
  enum class Framing : std::uint8_t { none, sized, chunked, until_close };

  Body() = default;
  Body(const Body&) = delete;
  Body& operator=(const Body&) = delete;

  // At least one byte, or `closed` at its end, or the limit. Throws Error when it is malformed, is more than the connection takes, or
  // takes longer than that gives it, for the body of a response BadReply; CutShort; IoError.
  Received read_some(std::span<std::byte> into, const mothreads::Until& until = {});
  // All that is left. Throws Error, 413, or BadReply, `long_body`, when that is more than `max`, and Timedout when the limit comes first.
  std::string read_all(std::size_t max, const mothreads::Until& until = {});

  // The size that was announced; nothing for chunks.
  std::optional<std::uint64_t> size() const;
  bool is_at_end() const { return is_done_; }

 private:
  friend class internal::HttpConnection;
  friend class internal::HttpReader;
  friend class Request;

  void begin(Stream& stream, internal::HttpParser* parser, Framing framing, std::uint64_t size, std::uint64_t max, absl::Duration limit);
  void send_continue();
  Received read_once(std::span<std::byte> into, mothreads::Limit limit);
  Received read_sized(std::span<std::byte> into, mothreads::Limit limit);
  Received read_chunked(std::span<std::byte> into, mothreads::Limit limit);
  [[noreturn]] void refuse(int status, std::string_view why) const;

  Stream* stream_ = nullptr;
  internal::HttpParser* parser_ = nullptr;
  Framing framing_ = Framing::none;
  std::uint64_t size_ = 0;
  std::uint64_t left_ = 0;           // of a sized one
  std::uint64_t taken_ = 0;
  std::uint64_t max_ = 0;
  absl::Duration limit_ = absl::InfiniteDuration();
  std::optional<mothreads::Instant> deadline_;  // from the first read on
  bool wants_continue_ = false;
  bool is_done_ = true;
  bool is_broken_ = false;  // where it ends nobody knows
  bool is_reply_ = false;   // a client reads it
};

}  // namespace cooperative::http
