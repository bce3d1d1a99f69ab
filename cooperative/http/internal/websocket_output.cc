#include "cooperative/http/internal/websocket_output.h"

#include <utility>

#include <fmt/core.h>

#include "absl/cleanup/cleanup.h"
#include "cooperative/errors.h"
#include "cooperative/http/internal/deadline.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/io/io_error.h"
#include "cooperative/io/stream.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0::http::internal {

using cooperative::internal::Turn;
using mothreads::Misuse;
using mothreads::Limit;
using mothreads::Why;
using mothreads::internal::NoUnwind;
using Opcode = WebSocketOpcode;

namespace {

constexpr const char* kWaits = "waits for its turn to write to a WebSocket";

}  // namespace

std::uint64_t current_fiber() {
  const auto* fiber = cooperative::internal::SchedulerCore::current().running_fiber();
  return fiber == nullptr ? 0 : fiber->id;
}

WebSocketOutput::WebSocketOutput(Stream& stream, WebSocketRole role, const WebSocketOptions& options, WebSocketEnd& end)
    : stream_(stream),
      role_(role),
      max_frame_(options.max_frame),
      write_limit_(options.write_limit),
      close_limit_(options.close_limit),
      draining_(options.draining.value_or(mothreads::NEVER)),
      end_(end) {
  if (max_frame_ == 0) throw Misuse("a WebSocket cannot send frames of no bytes: set max_frame to one or more");
}

WebSocketOutput::~WebSocketOutput() {
  if (born_.is_left_behind()) return;  // a fiber of the parent may use it
  if (message_.is_taken() || frame_.is_taken()) {
    mothreads::internal::fatal_misuse(
        fmt::format("{}: a WebSocket was destroyed while a fiber writes to it, or before the end of a message: wait for that fiber first, and end() "
                    "the message",
                    stream_.name()));
  }
}

// --- messages ----------------------------------------------------------------------------------------------------------------

void WebSocketOutput::check_open() {
  leave_if_draining();
  if (is_broken_ || is_cut_) throw Closed(stream_.name(), fmt::format("{}: a message was cut short: nothing can follow it", stream_.name()));
  if (is_closing_ || end_.has_come) throw Closed(stream_.name(), fmt::format("{}: the WebSocket is closed", stream_.name()));
}

void WebSocketOutput::take(Turn& turn, Limit limit) const {
  const Why why = turn.take(kWaits, limit);
  if (why == Why::ready) return;
  if (why == Why::closed) throw Closed(stream_.name(), fmt::format("{}: the WebSocket was closed before a message had its turn", stream_.name()));
  throw_early(stream_.name(), why, "write: another fiber does");
}

void WebSocketOutput::begin_message(Opcode opcode, Limit limit) {
  check_open();
  if (is_in_message()) {
    throw Misuse(fmt::format("{}: \"{}\" begins a message within another: end() the one that it has begun", stream_.name(), current_name()));
  }
  take(message_, limit);
  under_way_ = {.next = opcode, .fiber = current_fiber(), .is_whole = false};
}

bool WebSocketOutput::is_in_message() const { return message_.is_taken() && under_way_.fiber == current_fiber(); }

void WebSocketOutput::write_piece(std::string_view data, bool is_last, Limit limit) {
  absl::Cleanup unless_written = [this] { cut_short(); };
  while (is_last ? !under_way_.is_whole : !data.empty()) {
    const std::string_view piece = data.substr(0, max_frame_);
    data.remove_prefix(piece.size());
    const bool ends = is_last && data.empty();
    send_frame(under_way_.next, piece, ends, limit);
    under_way_.next = Opcode::continuation;
    under_way_.is_whole = ends;
  }
  std::move(unless_written).Cancel();
}

void WebSocketOutput::end_message() noexcept {
  cut_short();
  under_way_ = {};
  message_.leave();
}

// The message under way, unless all of it has gone, or nothing. The other side would take any other for the rest of this one; a close is none.
void WebSocketOutput::cut_short() noexcept {
  if (under_way_.is_whole || under_way_.next != Opcode::continuation || is_closing() || end_.has_come) return;
  is_cut_ = true;
  try {
    owe_close(close_payload(WebSocket::kFailed));
  } catch (...) {
    is_broken_ = true;  // for want of memory
  }
  end_.come(WebSocket::kAbnormal);
}

void WebSocketOutput::ping(std::string_view payload, Limit limit) {
  if (payload.size() > kMaxControl) throw Misuse(fmt::format("{}: a ping has at most {} bytes", stream_.name(), kMaxControl));
  send_frame(Opcode::ping, payload, true, limit);
}

void WebSocketOutput::send_frame(Opcode opcode, std::string_view payload, bool is_last, Limit limit) {
  check_open();
  take(frame_, limit);
  const absl::Cleanup pass_on = [this] { frame_.leave(); };
  check_open();
  if (const Why why = send_owed(limit); why != Why::ready) throw_early(stream_.name(), why, "write");
  check_open();
  try {
    const WebSocketFrame frame(role_, opcode, payload, is_last);
    stream_.write_all(frame.pieces(), limit);
  } catch (const WriteTimedout& error) {
    if (error.written() > 0) break_off();
    throw;
  } catch (const IoError&) {
    is_broken_ = true;  // what has still come can be read
    throw;
  } catch (...) {
    break_off();
    throw;
  }
  if (!owes()) return;
  const NoUnwind whole;  // this frame has gone
  try {
    static_cast<void>(send_owed(Limit::now()));
  } catch (const std::runtime_error&) {  // whoever reads finds it, too
  }
}

// A frame that was cut counts as whole: nothing can follow it, so nobody needs to wait.
void WebSocketOutput::break_off() noexcept {
  is_broken_ = true;
  message_.close();
  end_.come(WebSocket::kAbnormal);
}

// --- what is owed ------------------------------------------------------------------------------------------------------------

void WebSocketOutput::owe_pong(std::string_view payload) {
  if (is_closing()) return;
  owes_more();
  pong_ = payload;
  send_owed_at_once();
}

void WebSocketOutput::owe_close(std::string_view payload) {
  if (is_closing()) return;
  owes_more();
  close_ = payload;
  is_closing_ = true;
  message_.close();
  send_owed_at_once();
}

void WebSocketOutput::leave() {
  end_.expect(deadline_in(close_limit_));
  owe_close(close_payload(WebSocket::kGoingAway));
}

void WebSocketOutput::owes_more() {
  if (!owes()) owes_until_ = deadline_in(write_limit_);
}

// The next that is owed, as a frame.
bool WebSocketOutput::take_owed() {
  std::optional<std::string>& owed = pong_ ? pong_ : close_;
  if (!owed) return false;
  const WebSocketFrame frame(role_, pong_ ? Opcode::pong : Opcode::close, *owed, true);
  for (const std::string_view piece : frame.pieces()) left_ += piece;
  owed.reset();
  return true;
}

// For who has the turn.
Why WebSocketOutput::send_owed(Limit limit) {
  while (owes()) {
    if (left_.empty()) take_owed();
    try {
      const Sent sent = stream_.write_some(left_, limit);
      left_.erase(0, sent.size());
      if (!sent) return sent.why();
      if (left_.empty()) owes_until_ = deadline_in(write_limit_);
    } catch (const IoError& error) {
      mothreads::log::debug("{}: {}", stream_.name(), error.what());
      is_broken_ = true;
      throw;
    }
  }
  return Why::ready;
}

// The fiber that has the turn now sends it behind its own frame.
void WebSocketOutput::send_owed_at_once() {
  if (!owes() || !frame_.try_take()) return;
  const absl::Cleanup pass_on = [this] { frame_.leave(); };
  const NoUnwind whole;
  try {
    static_cast<void>(send_owed(Limit::now()));
  } catch (const IoError&) {  // there may still be something to be read
  } catch (const Closed&) {
  }
}

Why WebSocketOutput::flush(Limit limit) {
  if (!owes()) return Why::ready;
  if (const Why why = frame_.take(kWaits, limit); why != Why::ready) return why;
  const absl::Cleanup pass_on = [this] { frame_.leave(); };
  try {
    return send_owed(limit);
  } catch (const IoError&) {
    return Why::ready;
  } catch (const Closed&) {
    return Why::ready;
  }
}

Fiber<void> WebSocketOutput::flush_meanwhile() {
  send_owed_at_once();
  if (!owes()) return {};
  try {
    return spawn("sends what a WebSocket's reader owes", [this] { static_cast<void>(flush({})); });
  } catch (const FiberLimit&) {
    return {};  // whoever writes next sends it
  }
}

}  // namespace cooperative::http::internal
