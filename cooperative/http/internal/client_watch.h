#pragma once

// Whether the client of a request is still there, while its handler works.

#include <optional>

#include "cooperative/fiber.h"
#include "cooperative/io/stream.h"
#include "mothreads/signal.h"

namespace cooperative::inline v0::http::internal {

// Reads until it is destroyed, also while the server drains.
class ClientWatch {
 public:
  // The fiber that calls.
  static FiberParent this_fiber();

  ClientWatch(Stream& stream, const mothreads::Signal& draining, const FiberParent& parent)
      : stream_(stream), ended_(gone_ | draining), parent_(parent) {}
  ~ClientWatch();
  ClientWatch(const ClientWatch&) = delete;
  ClientWatch& operator=(const ClientWatch&) = delete;

  // Reads ahead from now on: nobody else may read meanwhile. Nothing when it does already.
  void begin();
  // Goes when the client has gone, or with `draining`.
  const mothreads::Signal& ended() const { return ended_; }
  // Something that was read is not there: what follows cannot be taken for a request.
  bool has_lost() const { return has_lost_; }

 private:
  void watch();

  Stream& stream_;
  mothreads::Signal gone_{"the end of an HTTP client"};
  const mothreads::Signal ended_;
  const FiberParent parent_;
  bool has_lost_ = false;
  std::optional<Fiber<void>> fiber_;
};

}  // namespace cooperative::http::internal
