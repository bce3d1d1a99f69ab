#pragma once

// Another protocol in the place of HTTP, on a connection that was upgraded: one that is served in turns, as HTTP is between two requests.

#include <optional>

#include "absl/time/time.h"
#include "mothreads/ended.h"
#include "mothreads/signal.h"

namespace cooperative::internal {
class RestEnd;
}

namespace cooperative::http::internal {

class Protocol {
 public:
  virtual ~Protocol() = default;
  // Serves what has come, in a fiber. Gives for how long the other side may be silent now, or nothing at the end. `why` is how the wait before it ended:
  // `ready` also at first.
  virtual std::optional<absl::Duration> serve(mothreads::Why why) = 0;
  // Ends that wait early, where a fiber waits.
  virtual const mothreads::Signal& ends_wait() const = 0;
  // The same where none does. False when it could not always tell.
  virtual bool waits_without_fiber(cooperative::internal::RestEnd& rest_end) = 0;
};

}  // namespace cooperative::http::internal
