#pragma once

// HTTP/1.0 and 1.1 on one connection: a server's side of it.
//
//     http::serve_http_connection(client, [](http::Request& request) { return http::Response::text(200, "hello"); });
//
// Requests are answered one after the other, in their order, by the fiber that calls; whoever accepts connections gives each a fiber
// (io/server.h). What is malformed is answered with 400, and the connection ends: nothing that follows it is taken for a request. The same
// with what is ambiguous: who sits between client and server might see another boundary between two requests than we do.
//
// Every connection that ends while a request has no answer is logged, with the reason.
//
// What happens to a connection:
//
//   a connection that                          `draining` goes                           its fiber is cancelled: the deadline of a drain or stop
//   has sent nothing yet                       has drain_grace to begin a request        is closed
//   is kept alive, between two requests        is closed                                 is closed
//   has sent a part of a request               is answered, then closed                  is closed; the log says that a request got no answer
//   waits for the answer of a handler          is answered, then closed                  likewise; the handler's wait throws FiberCancelled
//   is sent a response, also a streamed one    gets all of it, then is closed            is cut short; on_answer says so
//   is a WebSocket that a fiber serves         is closed with 1001; read() goes on for   is closed; what the fiber waits for throws FiberCancelled
//                                              close_limit
//   is a WebSocketHandler's, also at rest      likewise; so does on_message              is closed; the functions are destroyed, on_close is not called
//   is another protocol's (Upgrade)            is that one's                             is closed
//   lingers after its last response            lingers on                                is closed
//
// "Closed" says so to the other side first where the stream can (TLS: close_notify); cancelled, it does not.

#include <cstddef>
#include <cstdint>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "cooperative/http/message.h"
#include "mothreads/signal.h"

namespace cooperative::inline v0::http {

// An exception out of it is logged, and the answer is 500; of an Error, its status, which is 502 where another server's response was refused (BadReply). Neither tells the client more. Asked for any method but CONNECT (501):
// a method that it does not serve is its own to refuse.
using Handler = absl::AnyInvocable<Response(Request& request) const>;

// How a request was answered.
struct Answered {
  int status;
  bool is_complete;     // false when the connection failed, or its fiber was cancelled, before all of it was sent
  absl::Duration took;  // from the end of the request's head to that of the response
};

struct ConnectionOptions {
  std::size_t max_head = 16 * 1024;     // bytes of request line and header fields together, else 431
  std::size_t max_target = 8 * 1024;    // bytes, else 414
  std::uint64_t max_body = 1024 * 1024; // bytes, else 413
  std::uint64_t max_requests = 0;       // of one connection; 0 for any number

  absl::Duration idle_limit = absl::Seconds(60);   // before the first byte of a request
  absl::Duration head_limit = absl::Seconds(20);   // from then to the end of its head, else 408
  absl::Duration body_limit = absl::Seconds(60);   // for all of a body, from when it is first read, else 408
  absl::Duration write_limit = absl::Seconds(60);  // for a response; of a long one, for each 256 KiB, or what a handler writes at once
  // A response that ends the connection, to a client that still sends: closed at once TCP would reset the connection, and the client might never
  // read why. So what comes is read and dropped first, so long and so many bytes at most. Usual clients send a body to its end before they read.
  absl::Duration linger_limit = absl::Seconds(5);
  std::uint64_t max_lingered = 64 * 1024 * 1024;
  absl::Duration drain_grace = absl::Seconds(1);  // from `draining` to the first byte of a connection that has sent nothing yet

  // Called after each response, for a log of requests: not for those that were refused before they got to the handler. What it throws is logged.
  absl::AnyInvocable<void(const Request& request, const Answered& answered) const> on_answer = nullptr;

  // When it goes, an idle connection ends, and the response under way is the last; a request that has come by then, in part or whole, is answered.
  // Give it MainThread::draining() or the please_stop of the connection's handler, whichever is to end connections that are kept alive.
  mothreads::Signal draining = mothreads::NEVER;
};

// Serves it to its end, and closes it. Throws only what cancels the fiber that calls.
void serve_http_connection(Stream& client, const Handler& handler, const ConnectionOptions& options = {});
// With a `draining` of this connection in the place of the options'.
void serve_http_connection(Stream& client, const Handler& handler, const ConnectionOptions& options, const mothreads::Signal& draining);

}  // namespace cooperative::http
