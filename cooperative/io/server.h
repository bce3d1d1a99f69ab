#pragma once

// Servers: a fiber for each connection, or for each datagram.
//
//     auto server = co::serve_tcp({"127.0.0.1", 8080}, [](co::Socket& client) {
//       while (auto line = client.read_line(absl::Seconds(30))) client.write_all(reply(*line));
//     });
//     ...
//     server.stop().join();
//
// A server belongs to the fiber that made it, as a Fiber does: its destructor stops it and waits. stop(): it takes the connections that wait in
// the system's backlog, up to max_connections, and no more, and closes the listening socket; those under way may finish what they do. A handler that takes a please_stop (a mothreads::Signal) as its last
// parameter sees it go, and can answer the request that it has and take no more. What has not ended after ServerOptions::drain, or at the
// stop deadline (mothreads/stopping.h), is cancelled, and the log says which connection that was. A stop of the fiber, the thread or the
// program that it runs under is the same. A deadline that cuts the drain is a way to end in order, too: join() then returns as it does after
// any stop.
//
// When the stop of the program is announced (MainThread::draining()) the server does the first part: it takes what waits in the backlog, and
// no more, and closes the listening socket. Connections go on, and nobody is told or cancelled before the stop. When the last connection has
// ended, the server has, too. ServerOptions::draining puts another Signal in the place of the program's, NEVER to go on until the stop. A server
// makes no DrainHold: a handler with work that must not be stopped makes one. A server for datagrams only takes no more of them.
//
// What a handler throws ends its connection, and no other: an IoError is the client's doing and logged as information, anything else is an
// error in the log. When a handler returns its connection is closed.
//
// When the process has no more descriptors, or memory for a stack, the server says so in the log, and tries again when one of its connections has
// ended, or after kAcceptPause. With ServerOptions::max_connections connections it takes no more until one ends; what comes waits in the system's backlog.
//
// Used on the thread that made it. For more processors: a server for each thread, with ServerOptions::reuse_port.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "cooperative/fiber.h"
#include "cooperative/io/address.h"
#include "cooperative/io/listen.h"
#include "cooperative/io/socket.h"
#include "mothreads/internal/base/access.h"
#include "mothreads/signal.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {

inline constexpr absl::Duration kAcceptPause = absl::Milliseconds(100);

struct ServerOptions {
  std::string name = "server";
  std::size_t max_connections = 10'000;                 // datagrams: requests at a time
  int backlog = SOMAXCONN;                              // see ListenOptions
  bool reuse_port = false;                              // likewise
  absl::Duration idle_timeout = absl::InfiniteDuration();  // set_timeout() of each connection
  absl::Duration drain = absl::Seconds(10);             // from a stop to the cancelling of what is left
  std::optional<mothreads::Signal> draining = std::nullopt;  // take no more when it goes; default MainThread::draining()
  std::size_t stack_size = 0;                           // of each connection's fiber, see FiberOptions
};

struct ServerStatistics {
  std::uint64_t accepted = 0;   // connections, or datagrams
  std::uint64_t failed = 0;     // whose handler threw something
  std::uint64_t cancelled = 0;  // by the end of a stop
  std::size_t connections = 0;  // now
};

using ConnectionHandler = absl::AnyInvocable<void(Socket&, const mothreads::Signal& please_stop)>;

struct DatagramRequest {
  std::string data;
  Address from;
  Socket& socket;  // to answer: request.socket.send_to(answer, request.from)
};
using DatagramHandler = absl::AnyInvocable<void(DatagramRequest&, const mothreads::Signal& please_stop)>;

class [[nodiscard]] Server {
 public:
  Server(Server&&) noexcept = default;
  Server& operator=(Server&& other) noexcept;
  // In a child of fork() only its copy of the listening socket is closed.
  ~Server();

  // Where it listens, with the port that the system chose.
  const Address& address() const;
  std::uint16_t port() const { return address().port(); }

  // Does not wait. Chain: server.stop().join().
  Server& stop();
  // Waits until it has stopped, with all its connections; it does not stop it. When the limit comes first throws Timedout. Throws what ended
  // the server otherwise: an IoError of the listening socket.
  void join(const mothreads::Until& until = {});
  mothreads::Signal stopped() const;
  // Every verb of a Server that was moved from throws mothreads::Misuse.

  ServerStatistics statistics() const;

  // For the library.
  class Serving;
  Server(std::shared_ptr<Serving> serving, Fiber<void> fiber, mothreads::internal::Access);

 private:
  void leave_in_child() noexcept;
  Serving& serving() const;

  std::shared_ptr<Serving> serving_;
  Fiber<void> fiber_;
};

namespace internal::io {

Server serve(Socket listener, ConnectionHandler handler, const ServerOptions& options);
Server serve_datagrams(Socket socket, DatagramHandler handler, const ServerOptions& options);

template <typename Handler, typename Peer>
auto with_please_stop(Handler&& handler) {
  if constexpr (std::is_invocable_v<Handler&, Peer&, mothreads::Signal>) {
    return std::forward<Handler>(handler);
  } else {
    static_assert(std::is_invocable_v<Handler&, Peer&>,
                  "a handler takes what it serves by reference, and a please_stop if it likes: capture what else it needs");
    return [handler = std::forward<Handler>(handler)](Peer& peer, const mothreads::Signal&) mutable { std::invoke(handler, peer); };
  }
}

}  // namespace internal::io

// Streams: TCP, or a Unix socket, whose path is removed at the end. Listens when it returns. Throws IoError, which names the address.
template <typename Handler>
Server serve_tcp(const Address& at, Handler&& handler, const ServerOptions& options = {}) {
  return internal::io::serve(listen(at, {.backlog = options.backlog, .reuse_port = options.reuse_port}),
                         internal::io::with_please_stop<Handler, Socket>(std::forward<Handler>(handler)), options);
}
template <typename Handler>
Server serve_unix(std::string_view path, Handler&& handler, const ServerOptions& options = {}) {
  return serve_tcp(Address::unix_path(path), std::forward<Handler>(handler), options);
}
// On a socket that listens already. The path of a Unix socket is removed at the end if this process has called listen(), and stays when the socket
// was passed on by another (passed_sockets.h).
template <typename Handler>
Server serve(Socket listener, Handler&& handler, const ServerOptions& options = {}) {
  return internal::io::serve(std::move(listener), internal::io::with_please_stop<Handler, Socket>(std::forward<Handler>(handler)), options);
}

// Datagrams: a fiber for each. A handler that is slower than they come keeps them in the socket's buffer, which loses what does not fit; so does a
// stop with what is there. On a Unix socket, whose path is removed at the end, answers need a client that has an address of its own.
template <typename Handler>
Server serve_udp(const Address& at, Handler&& handler, const ServerOptions& options = {}) {
  Socket socket(at.family(), SOCK_DGRAM);
  if (options.reuse_port) socket.set_reuse_port(true);
  socket.bind(at);
  return internal::io::serve_datagrams(std::move(socket), internal::io::with_please_stop<Handler, DatagramRequest>(std::forward<Handler>(handler)),
                                   options);
}

}  // namespace cooperative
