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

#include <cstddef>
#include <cstdint>
#include <functional>

#include "absl/time/time.h"
#include "cooperative/http/message.h"
#include "mothreads/signal.h"

namespace cooperative::http {

// What it throws is logged, and the answer is 500; of an Error, its status. Neither tells the client more.
using Handler = std::function<Response(Request& request)>;

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
  absl::Duration linger_limit = absl::Seconds(2);  // for a client that still sends to read an answer that ends the connection

  // Called after each response, for a log of requests: not for those that were refused before they got to the handler. What it throws is logged.
  std::function<void(const Request& request, const Answered& answered)> on_answer = nullptr;

  // When it goes, an idle connection ends, and the response under way is the last; a request that has come by then, in part or whole, is answered.
  // Give it MainThread::draining() or the please_stop of the connection's handler, whichever is to end connections that are kept alive.
  mothreads::Signal draining = mothreads::NEVER;
};

// Serves it to its end, and closes it. Throws only what cancels the fiber that calls.
void serve_http_connection(Stream& client, const Handler& handler, const ConnectionOptions& options = {});

}  // namespace cooperative::http
