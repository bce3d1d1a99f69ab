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
#include "cooperative/internal/home.h"
#include "cooperative/io/stream.h"
#include "mothreads/contexts/fork.h"
#include "mothreads/ended.h"
#include "mothreads/signal.h"
#include "mothreads/until.h"

namespace cooperative::http::internal {

class WebSocketFrames {
 public:
  using Role = WebSocketRole;
  using Opcode = WebSocketOpcode;

  WebSocketFrames(Stream& stream, Role role, const WebSocketOptions& options, std::string protocol);
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
  void end_message() noexcept { output_.end_message(); }
  std::string name() const;

  bool is_open() const { return !output_.is_closing() && !end_.has_come; }
  // The server drains, and the other side does not know yet; or it ends because of that.
  bool has_to_leave() const { return output_.has_to_leave(); }
  bool is_leaving() const { return end_.expected_by.has_value(); }
  std::uint64_t pongs() const { return pongs_; }
  std::uint16_t close_code() const { return end_.code; }
  const std::string& close_reason() const { return end_.reason; }
  const std::string& protocol() const { return protocol_; }

 private:
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
  mothreads::Why fill(const mothreads::Until& until);
  mothreads::Why receive(const mothreads::Until& until);
  mothreads::Why receive_much(const mothreads::Until& until);
  std::optional<WebSocketMessage> end_frame();
  void take_close(std::string_view payload);
  [[noreturn]] void fail(std::uint16_t code, std::string_view why);
  mothreads::Why await_end(const mothreads::Until& until);

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

  WebSocketEnd end_;
  WebSocketOutput output_;
  const mothreads::Signal interrupt_;  // of a wait for more
};

}  // namespace cooperative::http::internal
