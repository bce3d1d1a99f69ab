#pragma once

// A WebSocket whose messages are given to functions, one turn after the other: for the parts of it that are used between two turns, by other fibers.

#include <cstdint>
#include <optional>

#include "absl/time/time.h"
#include "cooperative/fiber.h"
#include "cooperative/fiber_group.h"
#include "cooperative/http/internal/protocol.h"
#include "cooperative/io/session.h"
#include "cooperative/pulse.h"

namespace cooperative::inline v0::http::internal {

struct WebSocketTurns {
  void end_rest() const {
    if (owner.session != nullptr) owner.session->end_rest();
  }

  ProtocolOwner owner;
  absl::Duration close_limit;
  std::uint64_t fiber = 0;  // that has the turn
  bool drops = false;       // close() was called on this side: what still comes is dropped
  std::optional<FiberGroup> fibers = std::nullopt;  // once somebody has asked for it
  Pulse all_left{};  // no fiber is inside of a call
};

}  // namespace cooperative::http::internal
