#pragma once

// Whether the client of a request is still there, while its handler works.

#include <optional>

#include "cooperative/fiber.h"
#include "cooperative/io/stream.h"
#include "mothreads/signal.h"

namespace cooperative::http::internal {

// Belongs to the fiber of the connection.
class ClientWatch {
 public:
  ClientWatch(Stream& stream, const mothreads::Signal& draining) : stream_(stream), ended_(gone_ | draining) {}

  // Reads ahead from now on: nobody else may read meanwhile. Nothing when it does already.
  void begin();
  // Goes when the client has gone, or with `draining`.
  const mothreads::Signal& ended() const { return ended_; }

 private:
  void watch();

  Stream& stream_;
  mothreads::Signal gone_{"the end of an HTTP client"};
  const mothreads::Signal ended_;
  std::optional<Fiber<void>> fiber_;  // cancelled and joined at the end
};

}  // namespace cooperative::http::internal
