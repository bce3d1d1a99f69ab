#pragma once

// Another protocol in the place of HTTP, on a connection that was upgraded: one that is served in turns, as HTTP is between two requests.

#include <optional>

#include "absl/time/time.h"
#include "cooperative/fiber.h"
#include "mothreads/ended.h"

namespace cooperative::inline v0::internal::io {
class SessionOwner;
}

namespace cooperative::inline v0::http::internal {

// The part that serves the connection.
struct ProtocolOwner {
  FiberParent parent;                                       // of fibers that live as long as the connection
  cooperative::internal::io::SessionOwner* session = nullptr;  // null where a fiber waits between two turns
};

// Destroyed before the stream that it serves; what it has begun there ends then.
class Protocol {
 public:
  virtual ~Protocol() = default;
  // A turn: serves what has come, in a fiber. Gives for how long the other side may be silent now, or nothing at the end. `why` is how the wait before it
  // ended: `ready` also at first.
  virtual std::optional<absl::Duration> serve(mothreads::Why why) = 0;
  // Waits, in the fiber that calls, for what is to be given to serve(), not longer than `limit`. Throws as Stream::fill().
  virtual mothreads::Why await_more(absl::Duration limit) = 0;
  // Whether its owner may wait in its place, without a fiber. False also once there is something to serve though nothing has come; what happens later ends
  // the rest (SessionOwner::end_rest).
  virtual bool may_rest() const = 0;
};

}  // namespace cooperative::http::internal
