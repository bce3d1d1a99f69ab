#pragma once

// One frame of a WebSocket, RFC 6455, section 5.2: what reading and writing share.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace cooperative::inline v0::http::internal {

enum class WebSocketRole : bool { server, client };
enum class WebSocketOpcode : std::uint8_t { continuation = 0, text = 1, binary = 2, close = 8, ping = 9, pong = 10 };

inline bool is_control(WebSocketOpcode opcode) { return opcode >= WebSocketOpcode::close; }
inline constexpr std::size_t kMaxControl = 125;  // bytes of a control frame

using WebSocketMask = std::array<char, 4>;
// `from` bytes of the frame came before `text`.
void apply_mask(std::span<char> text, const WebSocketMask& mask, std::size_t from);

// The codes that a close frame may carry: section 7.4, and IANA's registry.
inline bool is_close_code(unsigned code) { return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999); }
// The payload of a close frame: the code, then the reason.
std::string close_payload(std::uint16_t code, std::string_view reason = {});

// A frame that is to be written. A client's has a mask, and a copy of its payload; a server's borrows it.
class WebSocketFrame {
 public:
  WebSocketFrame(WebSocketRole role, WebSocketOpcode opcode, std::string_view payload, bool is_last);
  WebSocketFrame(const WebSocketFrame&) = delete;
  WebSocketFrame& operator=(const WebSocketFrame&) = delete;

  std::array<std::string_view, 2> pieces() const { return {std::string_view(head_.data(), head_size_), payload_}; }

 private:
  std::array<char, 14> head_;
  std::size_t head_size_ = 2;
  std::string masked_;
  std::string_view payload_;
};

}  // namespace cooperative::http::internal
