#pragma once

// WebSocket, RFC 6455: messages in both directions on a connection that began as HTTP.
//
//     http::Response chat(http::Request& request) {
//       return http::accept_websocket(request, [](http::WebSocket& socket) {
//         while (auto message = socket.read()) socket.write_text(message->data);
//       });
//     }
//
//     http::WebSocket socket = http::connect_websocket(stream, "example.org", "/chat");
//
// One fiber may read while others write. Who reads answers pings and the other side's close, so somebody should; messages of several writers
// do not mix. A limit that ends a read() loses nothing: the next goes on with the same message. Extensions are not offered.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "cooperative/http/message.h"
#include "mothreads/result.h"
#include "mothreads/until.h"

namespace cooperative::http {

// The other side broke the rules; the connection has been closed with that code.
class WebSocketError : public std::runtime_error {
 public:
  WebSocketError(std::uint16_t code, const std::string& what) : std::runtime_error(what), code_(code) {}
  std::uint16_t code() const { return code_; }

 private:
  std::uint16_t code_;
};

struct WebSocketMessage {
  std::string data;
  bool is_text = true;  // then it is valid UTF-8
};

// What read() gives: a message, or why there is none. `closed` when the connection has ended: close_code() says how.
using WebSocketReceived = mothreads::Result<WebSocketMessage>;

struct WebSocketOptions {
  std::size_t max_message = 1024 * 1024;  // bytes, else the connection is closed with 1009
  std::size_t max_frame = 64 * 1024;      // a longer message is written in fragments, so that a pong can go in between
  absl::Duration write_limit = absl::Seconds(60);  // for the answers to pings and closes, which read() sends; and for a write without one
  absl::Duration close_limit = absl::Seconds(10);  // for the other side's close, where the handler of a server ends
  std::vector<std::string> protocols = {};  // a server takes the first that the client offers of them; a client offers them
  Headers headers = {};                 // of the handshake, beside its own: Origin, Cookie
};

namespace internal {
class WebSocketFrames;
}

class WebSocket {
 public:
  // 1005 where a close has no code; 1006 where the connection ended without one.
  static constexpr std::uint16_t kNormal = 1000, kGoingAway = 1001, kProtocolError = 1002, kNoCode = 1005, kAbnormal = 1006, kBadData = 1007,
                                 kPolicy = 1008, kTooBig = 1009, kFailed = 1011;

  WebSocket(WebSocket&&) noexcept;
  ~WebSocket();

  // The next whole message. One fiber at a time: another gets mothreads::Misuse. Throws WebSocketError, IoError.
  WebSocketReceived read(const mothreads::Until& until = {});

  // A whole message. Throw Closed once close() was called or the other side has closed; WriteTimedout, and then the connection is broken.
  // Text that is no UTF-8 is mothreads::Misuse.
  void write_text(std::string_view text, const mothreads::Until& until = {});
  void write_binary(std::string_view data, const mothreads::Until& until = {});
  // At most 125 bytes. The answer is swallowed by read(); pongs() counts them.
  void ping(std::string_view payload = {}, const mothreads::Until& until = {});
  std::uint64_t pongs() const;

  // Says that no more will come, and waits for the other side's close, dropping messages that come before it; where another fiber reads, that
  // one gets them. Nothing when it is closed already. When the limit comes first throws Timedout. A reason has at most 123 bytes.
  void close(std::uint16_t code = kNormal, std::string_view reason = {}, const mothreads::Until& until = {});

  bool is_open() const;  // neither side has closed
  std::uint16_t close_code() const;  // the other side's
  const std::string& close_reason() const;
  const std::string& protocol() const;  // that both speak; empty for none

  // For the library.
  explicit WebSocket(std::unique_ptr<internal::WebSocketFrames> frames);

 private:
  std::unique_ptr<internal::WebSocketFrames> frames_;
};

// The answer to a request for a WebSocket: 101, and `run` gets it; 400, 405 or 426 for what is none. When `run` ends, it is closed: with 1000, or
// with 1011 when it threw. Whether the page that asks may do so (Origin) is the caller's to decide.
Response accept_websocket(const Request& request, std::function<void(WebSocket&)> run, const WebSocketOptions& options = {});

// A client's, on a connection that is there. Throws Error, of the server's status, when that refuses; as Client does.
WebSocket connect_websocket(Stream& stream, std::string_view host, std::string_view target, const mothreads::Until& until = {});
WebSocket connect_websocket(const WebSocketOptions& options, Stream& stream, std::string_view host, std::string_view target,
                            const mothreads::Until& until = {});

}  // namespace cooperative::http
