#include "cooperative/http/internal/websocket_frame.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace cooperative::inline v0::http::internal {

namespace {

WebSocketMask new_mask() {
  WebSocketMask mask;
  if (::getrandom(mask.data(), mask.size(), 0) != static_cast<ssize_t>(mask.size())) {
    throw std::system_error(errno, std::generic_category(), "no random bytes for a WebSocket's mask");
  }
  return mask;
}

}  // namespace

void apply_mask(std::span<char> text, const WebSocketMask& mask, std::size_t from) {
  std::array<char, 8> eight;
  for (std::size_t i = 0; i < eight.size(); ++i) eight[i] = mask[(from + i) % 4];
  std::uint64_t masks = 0;
  std::memcpy(&masks, eight.data(), sizeof masks);
  std::size_t i = 0;
  for (; text.size() - i >= sizeof masks; i += sizeof masks) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + i, sizeof word);
    word ^= masks;
    std::memcpy(text.data() + i, &word, sizeof word);
  }
  for (; i < text.size(); ++i) text[i] = static_cast<char>(text[i] ^ eight[i % 4]);
}

std::string close_payload(std::uint16_t code, std::string_view reason) {
  std::string payload{static_cast<char>(code >> 8), static_cast<char>(code & 0xFF)};
  return payload.append(reason);
}

WebSocketFrame::WebSocketFrame(WebSocketRole role, WebSocketOpcode opcode, std::string_view payload, bool is_last) : payload_(payload) {
  const unsigned mask_bit = role == WebSocketRole::client ? 0x80 : 0;
  const auto put_size = [&](unsigned short_size, std::size_t bytes) {
    head_[1] = static_cast<char>(mask_bit | short_size);
    for (std::size_t i = 0; i < bytes; ++i) head_[head_size_++] = static_cast<char>(payload.size() >> (8 * (bytes - 1 - i)) & 0xFF);
  };
  head_[0] = static_cast<char>(static_cast<unsigned>(opcode) | (is_last ? 0x80u : 0u));
  if (payload.size() < 126) {
    put_size(static_cast<unsigned>(payload.size()), 0);
  } else if (payload.size() < 65536) {
    put_size(126, 2);
  } else {
    put_size(127, 8);
  }
  if (role == WebSocketRole::server) return;
  const WebSocketMask mask = new_mask();
  std::copy(mask.begin(), mask.end(), head_.begin() + static_cast<std::ptrdiff_t>(head_size_));
  head_size_ += mask.size();
  masked_ = payload;
  apply_mask(masked_, mask, 0);
  payload_ = masked_;
}

}  // namespace cooperative::http::internal
