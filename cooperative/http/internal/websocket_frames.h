#pragma once

// The frames of a WebSocket.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "cooperative/http/websocket.h"
#include "cooperative/rlock.h"
#include "mothreads/ended.h"
#include "mothreads/signal.h"
#include "mothreads/until.h"

namespace cooperative::http::internal {

class WebSocketFrames {
 public:
  enum class Role : bool { server, client };
  enum class Opcode : std::uint8_t { continuation = 0, text = 1, binary = 2, close = 8, ping = 9, pong = 10 };

  WebSocketFrames(Stream& stream, Role role, const WebSocketOptions& options, std::string protocol);

  WebSocketReceived read(const mothreads::Until& until);
  void write_message(Opcode opcode, std::string_view data, const mothreads::Until& until);
  void ping(std::string_view payload, const mothreads::Until& until);
  void close(std::uint16_t code, std::string_view reason, const mothreads::Until& until);

  bool is_open() const { return !close_sent_ && !has_ended_; }
  std::uint64_t pongs() const { return pongs_; }
  std::uint16_t close_code() const { return close_code_; }
  const std::string& close_reason() const { return close_reason_; }
  const std::string& protocol() const { return protocol_; }
  const WebSocketOptions& options() const { return options_; }

 private:
  using Mask = std::array<char, 4>;
  struct Header {
    Opcode opcode;
    bool is_last;
    Mask mask;
    std::uint64_t left;
    std::size_t unmasked;  // so many bytes of it have come
    bool is_control() const { return opcode >= Opcode::close; }
  };

  bool parse_header();
  void check_header(const Header& header);
  void take_payload();
  mothreads::Ended fill(const mothreads::Until& until);
  std::optional<WebSocketMessage> end_frame();
  void take_close();
  void answer(Opcode opcode, std::string_view payload);
  void end(std::uint16_t code);
  [[noreturn]] void fail(std::uint16_t code, std::string_view why);
  void send_frame(Opcode opcode, std::string_view payload, bool is_last, const mothreads::Until& until);
  void check_open() const;

  Stream& stream_;
  const Role role_;
  const WebSocketOptions options_;
  const std::string protocol_;

  // Reading.
  std::optional<Header> frame_;
  std::string message_;            // of the data frames so far
  std::optional<Opcode> message_opcode_;
  std::string control_;            // of the control frame under way
  bool is_reading_ = false;
  bool has_ended_ = false;         // nothing more comes
  std::uint16_t close_code_ = WebSocket::kAbnormal;
  std::string close_reason_;
  mothreads::Signal ended_{"the end of a WebSocket"};
  std::uint64_t pongs_ = 0;

  // Writing.
  RLock message_lock_;             // for a message of several frames
  RLock frame_lock_;
  bool close_sent_ = false;
  bool is_broken_ = false;         // a write ended within a frame, or a message
};

}  // namespace cooperative::http::internal
