#pragma once

// The two directions of a WebSocket. Reading is here, writing in websocket_output.h.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "cooperative/http/internal/utf8.h"
#include "cooperative/http/internal/websocket_frame.h"
#include "cooperative/http/internal/websocket_output.h"
#include "cooperative/http/websocket.h"
#include "cooperative/internal/wait/home.h"
#include "cooperative/io/stream.h"
#include "mothreads/ended.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/limit.h"
#include "mothreads/signal.h"
#include "mothreads/until.h"

namespace cooperative::inline v0::http::internal {

class WebSocketFrames {
 public:
  using Role = WebSocketRole;
  using Opcode = WebSocketOpcode;

  // With `turns`, which outlive it, it is served in turns.
  WebSocketFrames(Stream& stream, Role role, const WebSocketOptions& options, std::string protocol, WebSocketTurns* turns = nullptr);
  ~WebSocketFrames();
  WebSocketFrames(const WebSocketFrames&) = delete;
  WebSocketFrames& operator=(const WebSocketFrames&) = delete;

  WebSocketReceived read(const mothreads::Until& until);
  void close(std::uint16_t code, std::string_view reason, const mothreads::Until& until);

  void write_message(Opcode opcode, std::string_view data, const mothreads::Until& until);
  void ping(std::string_view payload, const mothreads::Until& until);
  // For WebSocketWriter. What ends a piece early, when some of the message has gone, ends the message.
  void begin_message(Opcode opcode, const mothreads::Until& until);
  void write_piece(std::string_view data, bool is_last, const mothreads::Until& until);
  void end_message() noexcept;
  // The writer, which may be moved; null from its end on.
  void is_written_by(WebSocketWriter* writer) noexcept { writer_ = writer; }
  std::string name() const;

  bool is_open() const { return !output_.is_closing() && !end_.has_come; }
  // The server drains, and the other side does not know yet; or it ends because of that.
  bool has_to_leave() const { return output_.has_to_leave(); }
  bool is_leaving() const { return end_.expected_by.has_value(); }
  std::uint64_t pongs() const { return pongs_; }
  std::uint16_t close_code() const { return end_.code; }
  const std::string& close_reason() const { return end_.reason; }
  const std::string& protocol() const { return protocol_; }

  // --- in turns ---

  // The next whole message of what has been read. Nothing also at the end.
  std::optional<WebSocketMessage> take();
  bool has_ended() const { return end_.has_come; }
  // The other side has gone without a word.
  void is_cut() { end_.come(WebSocket::kAbnormal); }
  // Something is owed, or the other side's close is waited for.
  bool needs_fiber() const { return output_.owes() || is_leaving(); }
  // Waits while it needs a fiber: `ready` when more has come, `timed_out` when nothing has by `silent_by`, which counts until either side has closed,
  // `stopped` when something has changed, `closed` at the end. What is owed for longer than write_limit is the end.
  mothreads::Why await_turn(mothreads::Instant silent_by);
  // Waits where it needs none.
  mothreads::Why await_more(absl::Duration limit);
  // Sends what is owed at the end.
  mothreads::Why flush(mothreads::Limit limit) { return output_.flush(limit); }
  FiberParent fibers();
  // Ends it, and the calls of other fibers: begin() tells them, and takes a message that is written in pieces from its writer; await() waits.
  void begin_end_of_calls() noexcept;
  void await_end_of_calls() noexcept;

 private:
  // While a fiber is inside of a call.
  class Inside {
   public:
    explicit Inside(WebSocketFrames& frames) noexcept : frames_(frames) { ++frames.inside_; }
    ~Inside() {
      if (--frames_.inside_ == 0 && frames_.end_.turns != nullptr) frames_.end_.turns->all_left.signal();
    }
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;

   private:
    WebSocketFrames& frames_;
  };

  struct Header {
    Opcode opcode;
    bool is_last;
    WebSocketMask mask;
    std::uint64_t left;
    std::size_t unmasked;  // so many bytes of it have come
  };

  bool is_late() const;
  bool parse_header();
  void check_header(const Header& header);
  void take_payload();
  void unmask(std::string& text, std::size_t from);
  mothreads::Why fill(mothreads::Limit limit);
  mothreads::Why receive(mothreads::Limit limit);
  mothreads::Why receive_much(mothreads::Limit limit);
  std::optional<WebSocketMessage> end_frame();
  void take_close(std::string_view payload);
  [[noreturn]] void fail(std::uint16_t code, std::string_view why);
  [[noreturn]] void refuse_wait(mothreads::Why why) const;
  mothreads::Why await_end(mothreads::Limit limit);
  void close_by_turns(WebSocketTurns& turns, mothreads::Limit limit);
  mothreads::Limit start_writing(const mothreads::Until& until) const;
  void take_from_writer() noexcept;

  cooperative::internal::Home home_;
  const mothreads::internal::Born born_;
  Stream& stream_;
  const Role role_;
  const std::size_t max_message_;
  const absl::Duration write_limit_;
  const std::string protocol_;

  std::optional<Header> frame_;
  std::string message_;            // of the data frames so far
  std::optional<Opcode> message_opcode_;
  Utf8Check text_check_;
  std::string control_;            // of the control frame under way
  cooperative::internal::Memory<char> room_;  // while a long frame is read
  bool is_reading_ = false;
  std::uint64_t pongs_ = 0;
  std::size_t inside_ = 0;
  WebSocketWriter* writer_ = nullptr;  // of the message in pieces that is under way

  WebSocketEnd end_;
  WebSocketOutput output_;
  const mothreads::Signal interrupt_;  // of read()'s wait for more
};

}  // namespace cooperative::http::internal
