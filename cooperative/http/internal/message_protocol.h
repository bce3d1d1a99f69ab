#pragma once

// A WebSocket whose messages are given to functions (WebSocketHandler).
//
//     a turn    what has come is given to the functions; the fiber stays while a pong or a close is owed, and from a close on, to the end
//     a rest    nothing is owed, and neither side has closed
//
// Nobody but the turn reads. Another fiber that closes the WebSocket says so to the other side, ends the rest, and waits for the end.

#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "cooperative/http/internal/protocol.h"
#include "cooperative/http/internal/websocket_frames.h"
#include "cooperative/http/internal/websocket_outcome.h"
#include "cooperative/http/internal/websocket_turns.h"
#include "cooperative/http/websocket.h"
#include "cooperative/io/stream.h"
#include "mothreads/ended.h"
#include "mothreads/internal/base/fork.h"

namespace cooperative::inline v0::http::internal {

class MessageProtocol final : public Protocol {
 public:
  // The options' `draining` is that of the connection, unless it `has_own_draining`: then only a fiber waits for that.
  MessageProtocol(Stream& stream, WebSocketHandler&& handler, const WebSocketOptions& options, const std::string& protocol, const ProtocolOwner& owner,
                  bool has_own_draining);
  // Ends the calls of other fibers, the connection's own fibers, and then the functions.
  ~MessageProtocol() override;

  std::optional<absl::Duration> serve(mothreads::Why why) override;
  mothreads::Why await_more(absl::Duration limit) override;
  bool may_rest() const override { return !has_own_draining_ && !frames_.is_leaving() && !frames_.has_ended(); }

 private:
  // Closes it when that, or a function before it, has thrown.
  void call(absl::FunctionRef<void()> function);
  void take_messages();
  void finish();

  const mothreads::internal::Born born_;
  WebSocketTurns turns_;
  WebSocket socket_;
  WebSocketFrames& frames_;
  WebSocketHandler handler_;
  WebSocketOutcome outcome_;
  const absl::Duration idle_limit_;
  const bool has_own_draining_;
  bool is_open_ = false;
};

}  // namespace cooperative::http::internal
