#pragma once

// For the library: a connection that is served in turns. Between two of them, while its other side is silent, it rests: it needs no fiber and no stack.
//
//     a turn     Session::serve() in a fiber of its own, as a ConnectionHandler
//     a rest     a watcher of its descriptor, and a timer (connections.h)
//
// A connection that is asked again and again is better served by a fiber that stays: when to rest is the session's to decide.

#include <memory>
#include <optional>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "cooperative/fiber.h"
#include "cooperative/io/descriptor.h"
#include "cooperative/io/server.h"
#include "cooperative/io/socket.h"
#include "mothreads/ended.h"
#include "mothreads/signal.h"

namespace cooperative::inline v0::internal::io {

// The server, as one of its sessions sees it. For the server's thread alone.
class SessionOwner {
 public:
  // Ends the session's rest by hand: the next turn's `why` is `ready`. Nothing when it does not rest.
  virtual void end_rest() noexcept = 0;
  // Of fibers that live longer than a turn. The session stops them, and waits for them, before it ends.
  virtual FiberParent parent() const = 0;

 protected:
  ~SessionOwner() = default;
};

// Belongs to the server, with the socket that it serves. Destroyed before that, and before its owner.
class Session {
 public:
  struct Rest {
    Descriptor* source;    // until there may be more to read from it; the session has just found that there is nothing
    absl::Duration limit;  // at most
  };

  virtual ~Session() = default;

  // Serves what has come. Gives a rest when the other side is silent, and nothing when the connection has ended. `why` is how the rest before it ended:
  // `ready`, also when there was none, `timed_out`, or `stopped`, when the Signal of serve_sessions() has gone. `please_stop` is that of this turn's fiber.
  // What it throws ends the connection.
  virtual std::optional<Rest> serve(mothreads::Why why, const mothreads::Signal& please_stop) = 0;
};

// Called in the fiber of the first turn. `please_stop` is the server's.
using SessionMaker = absl::AnyInvocable<std::unique_ptr<Session>(Socket& client, SessionOwner& owner, const mothreads::Signal& please_stop)>;

// As serve(). A rest ends when `ends_rests` goes, or the stop comes.
Server serve_sessions(Socket listener, SessionMaker make, const mothreads::Signal& ends_rests, const ServerOptions& options);

}  // namespace cooperative::internal::io
