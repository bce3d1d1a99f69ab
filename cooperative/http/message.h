#pragma once

// The parts of HTTP messages.
//
//     http::Response hello(http::Request& request) {
//       if (request.method() == "POST") return http::Response::text(200, "got " + request.body().read_all(4096));
//       return http::Response::text(200, "hello");
//     }
//
// A request is what came (server.h); a response what is to go. A request lives until its response has been sent, and belongs to the fiber of its
// connection.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "cooperative/http/headers.h"
#include "cooperative/http/http_body.h"
#include "mothreads/signal.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {
class Stream;
}

namespace cooperative::inline v0::http {

// "%41" to "A". Nothing when a "%" is not followed by two hexadecimal digits, or when a NUL would come out.
std::optional<std::string> percent_decode(std::string_view text);
// Every byte but letters, digits and "-._~", and those of `kept`, as "%41".
std::string percent_encode(std::string_view text, std::string_view kept = {});

class Routes;

namespace internal {
class Protocol;
struct ProtocolOwner;
// The server's side of a request.
class RequestEnd {
 public:
  virtual mothreads::Signal ended() = 0;

 protected:
  ~RequestEnd() = default;
};
}  // namespace internal

// Headers and body of a request that is made by hand.
struct RequestParts {
  Headers headers = {};
  std::string body = {};
};

class Request {
 public:
  // By hand, for the test of a handler: it has a text of its own, and no connection. Throws mothreads::Misuse for what could not come, either.
  //     http::Response response = routes.handle(http::Request::make("POST", "/jobs", {.body = "{}"}));
  static Request make(std::string_view method, std::string_view target, RequestParts parts = {});
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;
  ~Request();

  std::string_view method() const { return method_; }  // as sent: they are case-sensitive
  std::string_view target() const { return target_; }  // as sent
  int minor_version() const { return minor_version_; }  // HTTP/1.0 or HTTP/1.1
  const Headers& headers() const { return headers_; }

  // The parts of the target as sent. An absolute target has been told apart: its authority is in host().
  std::string_view raw_path() const { return raw_path_; }
  std::string_view query() const { return query_; }  // behind the "?"
  std::string_view host() const { return host_; }    // with the port, if there is one
  // Decoded; the "%2f" that it may have had is a "/" now. Nothing when it would have a NUL.
  std::optional<std::string> path() const { return percent_decode(raw_path_); }
  // The first value of that name in a query of the kind "a=1&b=2", decoded, "+" as a space.
  std::optional<std::string> query_value(std::string_view name) const;
  // The part of the path where the pattern of its route has "{name}" (routes.h), decoded. Throws mothreads::Misuse when that has no such name.
  std::string_view parameter(std::string_view name) const;

  // The body that comes with it; empty for most. The server reads and drops the part that the handler leaves, or ends the connection.
  Body& body() { return *body_; }

  // Goes when the client has gone, or when the server drains (ConnectionOptions::draining): for handlers that take long, or stream. A client that has
  // shut down its side counts as gone. It is seen once the body has been read: ask then. From the first call on a fiber reads ahead on the
  // connection, until the response has been sent. Never goes for a request that is made by hand.
  mothreads::Signal ended() const;
  // Goes when the server drains alone; reads nothing.
  const mothreads::Signal& draining() const { return *draining_; }

  // The name of the connection in errors and logs.
  std::string peer() const;

 private:
  friend class internal::HttpConnection;
  friend class Routes;
  struct Made;
  Request();
  explicit Request(std::unique_ptr<Made> made);

  std::string_view method_, target_, raw_path_, query_, host_;
  int minor_version_ = 1;
  Headers headers_;
  Body* body_ = nullptr;
  Stream* stream_ = nullptr;
  const mothreads::Signal* draining_ = &mothreads::NEVER;
  internal::RequestEnd* end_ = nullptr;
  std::string head_;  // what the views show
  std::vector<std::pair<std::string, std::string>> parameters_;
  std::unique_ptr<Made> made_;
};

// Owns a file's descriptor.
class OpenFile {
 public:
  explicit OpenFile(int descriptor) : descriptor_(descriptor) {}
  OpenFile(OpenFile&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  OpenFile& operator=(OpenFile&&) = delete;
  ~OpenFile();
  int native() const { return descriptor_; }

 private:
  int descriptor_;
};

// Parts of a file, with text before each and after the last.
struct FileParts {
  struct Part {
    std::string before;
    std::uint64_t offset;
    std::uint64_t size;
  };

  std::shared_ptr<const OpenFile> file;
  std::vector<Part> parts;
  std::string after;

  std::uint64_t size() const;
};

// Where a response that is made piece by piece goes. One fiber writes. A write that was cut short, by its limit or a cancellation, is the last: those
// behind it throw Closed, and the connection ends.
class BodyWriter {
 public:
  // Sends it before it returns. Throws WriteTimedout, IoError; mothreads::Misuse when it is more than was announced.
  virtual void write(std::string_view piece) = 0;
  // Sends the head, when nothing has been written yet: for clients that wait for it. Throws as write().
  virtual void flush() = 0;
  // The request that this body answers.
  virtual const Request& request() const = 0;
  mothreads::Signal ended() const { return request().ended(); }

 protected:
  ~BodyWriter() = default;
};

// Called once the handler has returned. Without a size it goes in chunks, or to the end of the connection where the client is of HTTP/1.0.
// An exception before the first byte was sent is answered with 500. A later one ends the connection, so that the client sees that
// something is missing: a client of HTTP/1.0 by a reset.
struct Streamed {
  absl::AnyInvocable<void(BodyWriter&)> write;
  std::optional<std::uint64_t> size = std::nullopt;
};

// The connection is another protocol's once the response, a 101, has gone; it ends when the function returns. What the client still sends is dropped
// then for a while (ConnectionOptions::linger_limit), so that it can read what was written last.
struct Upgrade {
  absl::AnyInvocable<void(Stream&)> run;
  // For the library, in the place of `run`: the same in turns (internal/protocol.h).
  absl::AnyInvocable<std::unique_ptr<internal::Protocol>(Stream&, const internal::ProtocolOwner&)> begin = nullptr;
};

class EventWriter;
struct EventOptions;

// Moves only, as what it may hold.
struct Response {
  int status = 200;
  // Without Content-Length, Transfer-Encoding and Connection, which follow from the body; "Connection: close" ends it after this response.
  // A response to HEAD without a body may have a Content-Length of its own.
  Headers headers = {};
  std::variant<std::string, FileParts, Streamed, Upgrade> body = {};

  static Response text(int status, std::string body);  // text/plain, UTF-8
  static Response json(int status, std::string body);  // application/json; json.h makes it from a value
  static Response of(int status, std::string_view content_type, std::string body);
  static Response streamed(std::string_view content_type, absl::AnyInvocable<void(BodyWriter&)> write);
  // Server-sent events (events.h), which is to be included for it.
  static Response events(absl::AnyInvocable<void(EventWriter&)> write);
  static Response events(absl::AnyInvocable<void(EventWriter&)> write, const EventOptions& options);
  // Says no more than the status and its name.
  static Response error(int status);
  // 405, with the methods that are allowed in its field Allow: "GET, HEAD".
  static Response not_allowed(std::string_view allow);
};

// The body as a client would get it, for the test of a handler. Takes it out of the response: runs what streams, reads a file (blocking).
std::string take_body(Response& response, const Request& request);

// "Not Found". Empty for what nobody has named.
std::string_view reason(int status);

}  // namespace cooperative::http
