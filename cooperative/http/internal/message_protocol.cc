#include "cooperative/http/internal/message_protocol.h"

#include <memory>
#include <utility>

#include <fmt/core.h>

#include "cooperative/http/internal/deadline.h"
#include "mothreads/clock.h"
#include "mothreads/instant.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/log.h"

namespace cooperative::inline v0::http::internal {

using mothreads::Clock;
using mothreads::Instant;
using mothreads::Why;

MessageProtocol::MessageProtocol(Stream& stream, WebSocketHandler&& handler, const WebSocketOptions& options, const std::string& protocol,
                                 const ProtocolOwner& owner, bool has_own_draining)
    : turns_{.owner = owner, .close_limit = options.close_limit},
      socket_(std::make_unique<WebSocketFrames>(stream, WebSocketFrames::Role::server, options, protocol, &turns_), mothreads::internal::kAccess),
      frames_(socket_.frames(mothreads::internal::kAccess)),
      handler_(std::move(handler)),
      outcome_(frames_),
      idle_limit_(options.idle_limit),
      has_own_draining_(has_own_draining) {
  socket_.keep_in_place(mothreads::internal::kAccess);
}

MessageProtocol::~MessageProtocol() {
  turns_.owner.session = nullptr;  // it does not rest any more
  if (born_.is_left_behind()) return;
  const mothreads::internal::NoUnwind whole;
  frames_.begin_end_of_calls();
  turns_.fibers.reset();  // they may use what the functions hold
  handler_ = {};
  frames_.await_end_of_calls();
}

std::optional<absl::Duration> MessageProtocol::serve(Why why) {
  turns_.fiber = current_fiber();
  if (!std::exchange(is_open_, true) && handler_.on_open) call([this] { handler_.on_open(socket_); });
  if (why == Why::closed) frames_.is_cut();
  Instant silent_by = deadline_in(idle_limit_);
  while (true) {
    take_messages();
    if (frames_.has_ended()) break;
    if (why == Why::timed_out && !frames_.is_leaving()) frames_.close(WebSocket::kGoingAway, {}, {});
    if (why == Why::ready) silent_by = deadline_in(idle_limit_);
    if (!frames_.needs_fiber()) {
      return idle_limit_ == absl::InfiniteDuration() ? idle_limit_ : absl::FromChrono(silent_by - Clock::current().now());
    }
    why = Why::closed;
    outcome_.of([&] { why = frames_.await_turn(silent_by); });
    if (why == Why::closed) frames_.is_cut();
  }
  finish();
  return std::nullopt;
}

Why MessageProtocol::await_more(absl::Duration limit) { return frames_.await_more(limit); }

void MessageProtocol::call(absl::FunctionRef<void()> function) {
  outcome_.of(function);
  if (outcome_.code() != WebSocket::kNormal) frames_.close(outcome_.code(), {}, {});
}

void MessageProtocol::take_messages() {
  while (true) {
    std::optional<WebSocketMessage> message;
    call([&] { message = frames_.take(); });
    if (!message) return;
    if (!turns_.drops) call([&] { handler_.on_message(socket_, *std::move(message)); });
  }
}

void MessageProtocol::finish() {
  if (frames_.flush(mothreads::Limit(turns_.close_limit)) != Why::ready) {
    mothreads::log::info("{}: was not closed in order: the other side takes no more", frames_.name());
  }
  if (handler_.on_close) outcome_.of([this] { handler_.on_close(socket_); });
  outcome_.rethrow();
}

}  // namespace cooperative::http::internal
