#pragma once

// How functions of a user's left their WebSocket.

#include <cstdint>
#include <exception>

#include "absl/functional/function_ref.h"
#include "cooperative/http/websocket.h"

namespace cooperative::inline v0::http::internal {

class WebSocketFrames;

class WebSocketOutcome {
 public:
  explicit WebSocketOutcome(const WebSocketFrames& frames) : frames_(frames) {}

  // Calls it. Throws only what cancels the fiber that calls. A child of fork() that it leaves ends there: the connection is the parent's.
  void of(absl::FunctionRef<void()> function);
  // To close it with: kNormal while nothing was thrown.
  std::uint16_t code() const { return code_; }
  // The first that was thrown, unless the other side or the log knows of it already.
  void rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void fail();

  const WebSocketFrames& frames_;
  std::uint16_t code_ = WebSocket::kNormal;
  std::exception_ptr failure_;
};

}  // namespace cooperative::http::internal
