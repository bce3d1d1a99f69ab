#pragma once

// A server of HTTP in one line: it accepts, speaks TLS, says whether it is ready, and drains.
//
//     auto site = http::serve_http(co::Address::loopback(8080), std::move(routes), {.name = "api", .threads = 2, .ready_path = "/ready"});
//     ...
//     site.stop().join();
//
// The handler is a http::Routes, http::StaticFiles, or any function of a http::Request& that gives a http::Response; with several threads it is asked on all
// of them at once. What a connection may cost, and what happens to it, is said in server.h.
//
// A connection that is silent needs no fiber and no stack: HTTP between two requests, a WebSocketHandler's WebSocket between two messages. It keeps them for
// 10 ms where those before came as fast as that, and always where ServeOptions::wrap stands between HTTP and the socket.
//
// A stop has two parts. When it is announced (MainThread::draining(), or ServeOptions::draining) no more connections are taken, those that are kept alive
// end after their response, and ready_path answers 503. At the stop of the site, or of what it belongs to, likewise, and what has not ended after
// ServeOptions::drain is cancelled. For a load balancer that asks for ready_path before it sends no more, give NEVER for `draining`: then the site goes on
// taking connections until the stop, and ready_path says 503 from the announcement on.

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "cooperative/http/server.h"
#include "cooperative/io/address.h"
#include "cooperative/io/server.h"
#include "cooperative/io/socket.h"
#include "cooperative/io/stream.h"
#include "cooperative/io/tls.h"
#include "mothreads/internal/base/access.h"
#include "mothreads/signal.h"
#include "mothreads/until.h"

namespace cooperative::inline v0::http {

struct ServeOptions {
  std::string name = "http";
  std::optional<TlsContext> tls = std::nullopt;
  absl::Duration handshake_limit = absl::Seconds(10);
  unsigned threads = 0;  // of its own, each with its share of the connections; 0 for the calling thread
  std::string ready_path = {};  // "/ready": answered by the site itself, 200, and 503 once the program drains or the site stops
  absl::Duration drain = absl::Seconds(10);  // from the stop to the cancelling of what is left
  std::optional<mothreads::Signal> draining = std::nullopt;  // default MainThread::draining()
  std::size_t max_connections = 10'000;  // of each thread
  std::size_t stack_size = 0;  // of each connection's fiber, see FiberOptions
  ConnectionOptions connection = {};  // its `draining` is added to the site's
  // Makes what HTTP is spoken over, of a connection or its TLS: a throttle, a counter. What it gives borrows that stream.
  absl::AnyInvocable<std::unique_ptr<Stream>(Stream& below) const> wrap = nullptr;
};

// Belongs to the fiber that made it, as a Fiber does: its destructor stops it and waits. Used on the thread that made it.
class [[nodiscard]] Site {
 public:
  Site(Site&&) noexcept;
  Site& operator=(Site&&) noexcept;
  ~Site();

  // Where it listens, with the port that the system chose.
  const Address& address() const;
  std::uint16_t port() const { return address().port(); }

  // Does not wait. Chain: site.stop().join().
  Site& stop();
  // Waits until it has stopped, with all its connections; it does not stop it. When the limit comes first throws Timedout. Throws what ended it otherwise: an
  // IoError of the listening socket; with threads mothreads::ThreadsFailed, which has them.
  void join(const mothreads::Until& until = {});
  mothreads::Signal stopped() const;

  // For the library.
  class Serving;
  Site(std::unique_ptr<Serving> serving, mothreads::internal::Access);

 private:
  Serving& serving() const;

  std::unique_ptr<Serving> serving_;
};

// Listens when it returns. Throws IoError, which names the address.
Site serve_http(const Address& at, Handler handler, ServeOptions options = {});
// On a socket that listens already, from the service manager for one (io/passed_sockets.h). Several threads share it.
Site serve_http(Socket listener, Handler handler, ServeOptions options = {});

}  // namespace cooperative::http
