#pragma once

// The writing side of a WebSocket.
//
// A writer waits: for its turn, and for room. A reader never does, since it is the other side's reader that makes room, and that one may be
// in the same place. What a reader has to say, a pong or a close, is owed: it goes at once where it can, else before the next frame of
// whoever writes, or by a fiber for as long as the reader waits. A newer pong takes the place of one that is owed (RFC 6455, section 5.5.3).
//
//     message_   who has it writes a message, of any number of frames
//     frame_     who has it writes a frame; what was owed before goes before it

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/time/time.h"
#include "cooperative/fiber.h"
#include "cooperative/http/internal/websocket_frame.h"
#include "cooperative/http/internal/websocket_turns.h"
#include "cooperative/http/websocket.h"
#include "cooperative/internal/wait/turn.h"
#include "mothreads/ended.h"
#include "mothreads/instant.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/limit.h"
#include "mothreads/signal.h"

namespace cooperative::inline v0::http::internal {

// How a WebSocket ends; what its two directions share.
struct WebSocketEnd {
  bool has_come = false;  // nothing more is read
  std::uint16_t code = WebSocket::kAbnormal;
  std::string reason;
  mothreads::Signal signal;  // in turns also at the first of the two changes, and then it is another
  std::optional<mothreads::Instant> expected_by = std::nullopt;  // of a side that has closed, because it drains or by turns
  WebSocketTurns* turns = nullptr;                               // where it is served in turns

  void come(std::uint16_t its_code) {
    if (has_come) return;
    has_come = true;
    code = its_code;
    signal.go();
    if (turns != nullptr) turns->end_rest();
  }
  // The first limit holds.
  void expect(mothreads::Instant by) {
    if (expected_by) return;
    expected_by = by;
    if (turns == nullptr) return;
    std::exchange(signal, mothreads::Signal()).go();
    turns->end_rest();
  }
};

// The number of the fiber that runs; 0 where none does.
std::uint64_t current_fiber();

class WebSocketOutput {
 public:
  // Goes with a 1001 when `options.draining` goes.
  WebSocketOutput(Stream& stream, WebSocketRole role, const WebSocketOptions& options, WebSocketEnd& end);
  ~WebSocketOutput();
  WebSocketOutput(const WebSocketOutput&) = delete;
  WebSocketOutput& operator=(const WebSocketOutput&) = delete;

  // --- for those who may wait: they throw Closed, Timedout, Stopped, WriteTimedout, IoError ---

  void begin_message(WebSocketOpcode opcode, mothreads::Limit limit);
  void write_piece(std::string_view data, bool is_last, mothreads::Limit limit);
  // Once the last piece has been written; before, the message is cut short. A message that is cut short, by this or by a piece that throws, ends the
  // WebSocket with a 1011, unless none of it has gone.
  void end_message() noexcept;
  // The fiber that runs has begun the message, which has not ended.
  bool is_in_message() const;
  void ping(std::string_view payload, mothreads::Limit limit);
  // Sends what is owed. Throws nothing of the above: a connection that has failed takes nothing more.
  mothreads::Why flush(mothreads::Limit limit);

  // --- for a reader ---

  void owe_pong(std::string_view payload);
  // From here on no more messages are written.
  void owe_close(std::string_view payload);
  // Sends what is owed while the caller waits for something else.
  [[nodiscard]] Fiber<void> flush_meanwhile();
  // For both: once the server drains, says so to the other side, which has until WebSocketOptions::close_limit.
  bool has_to_leave() const { return draining_ && !end_.expected_by; }
  const mothreads::Signal& draining() const { return draining_; }
  void leave_if_draining() {
    if (has_to_leave()) leave();
  }

  // For turns: a pong or a close waits for room, or for a writer; until when it may.
  bool owes() const { return !is_broken_ && (!left_.empty() || pong_ || close_); }
  mothreads::Instant owes_until() const { return owes_until_; }
  bool is_stuck() const { return owes() && mothreads::Limit().sooner(owes_until_).has_come(); }

  // Nothing can be written any more, and nothing is owed: whoever waits for a turn to write gets none.
  void break_off() noexcept;
  // A frame is being written.
  bool is_sending() const { return frame_.is_taken(); }
  // No message can be written any more.
  bool is_closing() const { return is_closing_ || is_broken_; }

 private:
  struct Message {
    WebSocketOpcode next = WebSocketOpcode::continuation;
    std::optional<std::uint64_t> fiber = std::nullopt;  // none from the end of one to the begin of the next
    bool is_whole = true;
  };

  void take(cooperative::internal::Turn& turn, mothreads::Limit limit) const;
  void send_frame(WebSocketOpcode opcode, std::string_view payload, bool is_last, mothreads::Limit limit);
  void check_open();
  void cut_short() noexcept;
  void owes_more();
  bool take_owed();
  mothreads::Why send_owed(mothreads::Limit limit);
  void send_owed_at_once();
  void leave();

  Stream& stream_;
  const WebSocketRole role_;
  const std::size_t max_frame_;
  const absl::Duration write_limit_;
  const absl::Duration close_limit_;
  const mothreads::Signal draining_;
  WebSocketEnd& end_;
  const mothreads::internal::Born born_;

  cooperative::internal::Turn message_;
  cooperative::internal::Turn frame_;
  Message under_way_;
  std::string left_;                  // of a control frame that did not go as a whole: nothing goes before it
  std::optional<std::string> pong_;   // owed
  std::optional<std::string> close_;  // likewise, behind the pong
  mothreads::Instant owes_until_{};   // for the first frame of it
  bool is_closing_ = false;           // a close is owed, or has gone
  bool is_cut_ = false;               // a message was cut short
  bool is_broken_ = false;            // and within a frame, or the connection has failed: nothing can follow
};

}  // namespace cooperative::http::internal
