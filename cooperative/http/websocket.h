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
// One fiber may read while others write; messages of several writers do not mix. read() answers pings and the other side's close, so a fiber should
// read. It never waits for a writer, nor for the other side to take an answer: an answer that does not go at once goes before the next frame of
// whoever writes, or while read() waits for more. Of pings that come meanwhile the newest is answered. A limit that ends a read() loses nothing: the
// next goes on with the same message. Extensions are not offered.
//
// A server that drains (ConnectionOptions::draining) says so with a close of 1001. read() still gives what comes before the other side's close,
// for WebSocketOptions::close_limit at most, and then ends `closed`, so the usual loop ends by itself; writing throws Closed.
//
// Used by fibers of one thread. All of them have ended their calls when it is destroyed; it does not close the stream, which outlives it. Of one that is a
// WebSocketHandler's the library sees to that.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "cooperative/fiber.h"
#include "cooperative/http/internal/utf8.h"
#include "cooperative/http/message.h"
#include "mothreads/internal/base/access.h"
#include "mothreads/result.h"
#include "mothreads/signal.h"
#include "mothreads/until.h"

namespace cooperative::inline v0::http {

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

// The server answered a client's handshake with something else than 101. Within a handler it is answered with 502, as BadReply.
class WebSocketRefused : public Error {
 public:
  WebSocketRefused(int reply_status, const std::string& what) : Error(502, what), reply_status_(reply_status) {}
  int reply_status() const { return reply_status_; }

 private:
  int reply_status_;
};

struct WebSocketOptions {  // a duration may be absl::InfiniteDuration()
  std::size_t max_message = 1024 * 1024;  // bytes, else the connection is closed with 1009
  std::size_t max_frame = 64 * 1024;      // a longer message is written in fragments, so that a pong can go in between
  absl::Duration write_limit = absl::Seconds(60);  // for a write without a limit of its own; of a message in pieces, for each
  absl::Duration close_limit = absl::Seconds(4);   // for the other side's close, where the handler of a server ends, and from `draining` on
  std::optional<mothreads::Signal> draining = std::nullopt;  // goes away (1001) when it goes; default of a server Request::draining(), of a client none
  absl::Duration idle_limit = absl::InfiniteDuration();  // of a WebSocketHandler's: closed with 1001 when the other side sends nothing for so long
  std::vector<std::string> protocols = {};  // a server takes the first that the client offers of them; a client offers them
  Headers headers = {};                 // of the handshake, beside its own: Origin, Cookie
};

namespace internal {
class WebSocketFrames;
}

// A message that is written piece by piece, of any size: WebSocket::begin_text() and begin_binary() make it.
//
//     http::WebSocketWriter out = socket.begin_text();
//     while (auto line = log.read_line()) out.write(*line + "\n");
//     out.end();
//
// Each piece is on its way when write() returns, as a frame or several, so small ones are better gathered by the caller. Messages of other
// writers wait until the end of this one; pings and pongs do not. A piece of text may end within a character.
//
// Destroyed before end(), it cuts its message short, and so does a piece that ends early: other than by Misuse, and with some of the message gone.
// As nobody can take back what has gone, the WebSocket ends: it is closed with 1011, reading ends, and writing throws Closed. A message of which nothing
// has gone leaves nothing behind.
//
// Belongs to the fiber that began it, which must end it before it begins another: mothreads::Misuse. The WebSocket outlives it, and may be moved; one of a
// WebSocketHandler's may end before, and then writing throws Closed.
class [[nodiscard]] WebSocketWriter {
 public:
  WebSocketWriter(WebSocketWriter&& other) noexcept;
  WebSocketWriter& operator=(WebSocketWriter&&) = delete;
  ~WebSocketWriter();

  // Throws as WebSocket::write_text(). Text that cannot be UTF-8 is mothreads::Misuse, and nothing of the piece has gone.
  void write(std::string_view piece, const mothreads::Until& until = {});
  // Likewise; mothreads::Misuse where the last character is half. Then the writer is of no more use.
  void end(const mothreads::Until& until = {});

  // For the library.
  WebSocketWriter(internal::WebSocketFrames& frames, bool is_text, mothreads::internal::Access);
  // Its WebSocket, a WebSocketHandler's, ends: from here on it throws Closed.
  void lose(mothreads::internal::Access) noexcept {
    frames_ = nullptr;
    is_lost_ = true;
  }

 private:
  void put(std::string_view piece, bool is_last, const mothreads::Until& until);

  internal::WebSocketFrames* frames_;  // null once it has ended
  bool is_lost_ = false;
  bool is_text_;
  internal::Utf8Check check_;
};

class WebSocket {
 public:
  // 1005 where a close has no code; 1006 where the connection ended without one.
  static constexpr std::uint16_t kNormal = 1000, kGoingAway = 1001, kProtocolError = 1002, kNoCode = 1005, kAbnormal = 1006, kBadData = 1007,
                                 kPolicy = 1008, kTooBig = 1009, kFailed = 1011;

  // Leaves one behind whose verbs throw mothreads::Misuse. One that a handler was given stays where it is, and ends with its connection: moving it away
  // ends the process, which says so.
  WebSocket(WebSocket&& other) noexcept;
  WebSocket& operator=(WebSocket&& other) noexcept;
  ~WebSocket();

  // The next whole message. One fiber at a time: another gets mothreads::Misuse. Throws WebSocketError, IoError. `closed` also after a write that was cut
  // short, with close_code() kAbnormal.
  WebSocketReceived read(const mothreads::Until& until = {});

  // A whole message. Throw Closed once close() was called or the other side has closed; Timedout or Stopped when its turn does not come before the limit;
  // WriteTimedout, and then the WebSocket has ended, unless nothing was written. Text that is no UTF-8 is mothreads::Misuse.
  void write_text(std::string_view text, const mothreads::Until& until = {});
  void write_binary(std::string_view data, const mothreads::Until& until = {});
  // A message piece by piece. Waits for its turn, and throws as the above.
  WebSocketWriter begin_text(const mothreads::Until& until = {});
  WebSocketWriter begin_binary(const mothreads::Until& until = {});
  // At most 125 bytes. The answer is swallowed by read(); pongs() counts them.
  void ping(std::string_view payload = {}, const mothreads::Until& until = {});
  std::uint64_t pongs() const;

  // Says that no more will come, and waits for the other side's close, dropping messages that come before it; where another fiber reads, that
  // one gets them. When it is closed already, waits at most until read()'s answer to that has gone. When the limit comes first throws Timedout. A reason
  // has at most 123 bytes.
  void close(std::uint16_t code = kNormal, std::string_view reason = {}, const mothreads::Until& until = {});

  // The group is for a WebSocketHandler's WebSocket, else it throws mothreads::Misuse: the parent of fibers that live as long as the connection. Its end stops them, and waits for them, before
  // the functions are destroyed. Throws Closed once it has ended.
  //     co::spawn({.name = "prices", .parent = socket.fibers()}, [&socket] { ... }).release();
  FiberParent fibers();

  bool is_open() const;  // neither side has closed, and no write was cut short
  std::uint16_t close_code() const;  // the other side's
  const std::string& close_reason() const;
  const std::string& protocol() const;  // that both speak; empty for none

  // For the library.
  WebSocket(std::unique_ptr<internal::WebSocketFrames> frames, mothreads::internal::Access);
  internal::WebSocketFrames& frames(mothreads::internal::Access) { return frames(); }
  void keep_in_place(mothreads::internal::Access) noexcept { is_kept_ = true; }

 private:
  internal::WebSocketFrames& frames() const;
  std::unique_ptr<internal::WebSocketFrames> give_away() noexcept;
  void check_moves() const noexcept;

  std::unique_ptr<internal::WebSocketFrames> frames_;
  bool is_kept_ = false;  // a handler's
};

// The answer to a request for a WebSocket: 101, and `run` gets it; 400, 405 or 426 for what is none. When `run` ends, it is closed: with 1000, with
// 1011 when it threw, or with 1001 when the server drains. Whether the page that asks may do so is the caller's to decide: a browser lets the pages of
// every site open WebSockets to this server, and only says where they come from. A server whose own pages alone may: is_same_origin().
Response accept_websocket(const Request& request, absl::AnyInvocable<void(WebSocket&)> run, const WebSocketOptions& options = {});

// Whether the page that asks is of this server: its Origin has the host and the port that the request is for. True for a request without an Origin, which comes
// from no page. A name that somebody else lets lead to this server passes; a server that knows its names compares Request::host(), too.
bool is_same_origin(const Request& request);

// Functions in the place of a fiber, for many WebSockets of which most are silent most of the time:
//
//     http::accept_websocket(request, {.on_message = [](http::WebSocket& socket, http::WebSocketMessage message) { socket.write_text(message.data); }});
//
// They are called one after the other, in a fiber, and may wait. Between two messages serve_http() needs no fiber for the WebSocket, and no stack
// (serve_http.h); with a WebSocketOptions::draining of its own it keeps them. Any fiber of the thread may write to it, or close it, at any time.
//
// Only the library reads: read() is mothreads::Misuse. close() in one of the functions does not wait; in another fiber it waits for the other side's close as
// everywhere. After it, messages that still come are dropped, and the WebSocket ends after WebSocketOptions::close_limit at the latest.
//
// A function that throws is on_message's last call: the WebSocket is closed with 1011, and the log says why, once. A drain is as everywhere: close of 1001, and
// on_message gets what still comes. The server's deadline cancels a function that runs, and calls none. In a child of fork() the return of a function ends the
// process.
//
// A fiber that a function makes below itself is stopped at the end of the turn, when no more messages are there, also where something holds its handle. One
// that it releases is the server's. fibers() is the parent of those that are to live as long as the connection.
//
// At the end on_close is called, the connection's fibers are stopped, and the functions are destroyed with what they hold, which can see to it that nobody
// uses the WebSocket any more. Fibers that are inside of one of its calls get Closed, and the end waits for them. Then the WebSocket is destroyed.
struct WebSocketHandler {
  absl::AnyInvocable<void(WebSocket&, WebSocketMessage)> on_message;
  absl::AnyInvocable<void(WebSocket&)> on_open = nullptr;   // before the first message
  absl::AnyInvocable<void(WebSocket&)> on_close = nullptr;  // after the last, however it ended: close_code() says. Not at the server's deadline
};

// Throws mothreads::Misuse without on_message.
Response accept_websocket(const Request& request, WebSocketHandler handler, const WebSocketOptions& options = {});

// A client's, on a connection that is there. Throws WebSocketRefused, BadReply for an answer that is none, and as Client does.
WebSocket connect_websocket(Stream& stream, std::string_view host, std::string_view target, const mothreads::Until& until = {});
WebSocket connect_websocket(Stream& stream, std::string_view host, std::string_view target, const WebSocketOptions& options,
                            const mothreads::Until& until = {});

}  // namespace cooperative::http
