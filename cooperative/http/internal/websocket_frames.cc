#include "cooperative/http/internal/websocket_frames.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <span>
#include <system_error>
#include <utility>

#include <fmt/core.h>

#include "absl/cleanup/cleanup.h"
#include "cooperative/errors.h"
#include "cooperative/http/internal/utf8.h"
#include "cooperative/io/stream.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"

namespace cooperative::http::internal {

using mothreads::Ended;
using mothreads::Misuse;
using mothreads::Until;
using mothreads::Why;

namespace {

constexpr std::size_t kMaxControl = 125;
constexpr std::size_t kReadAtOnce = 64 * 1024;

void apply_mask(std::span<char> text, const std::array<char, 4>& mask, std::size_t from) {
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(text[i] ^ mask[(from + i) % 4]);
}

std::array<char, 4> new_mask() {
  std::array<char, 4> mask;
  if (::getrandom(mask.data(), mask.size(), 0) != static_cast<ssize_t>(mask.size())) {
    throw std::system_error(errno, std::generic_category(), "no random bytes for a WebSocket's mask");
  }
  return mask;
}

// What may stand in a close that is sent: RFC 6455, section 7.4, and IANA's registry.
bool is_close_code(unsigned code) { return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999); }

}  // namespace

WebSocketFrames::WebSocketFrames(Stream& stream, Role role, const WebSocketOptions& options, std::string protocol)
    : stream_(stream), role_(role), options_(options), protocol_(std::move(protocol)) {
  if (options_.max_frame == 0) throw Misuse("a WebSocket cannot send frames of no bytes: set max_frame to one or more");
}

// --- reading -----------------------------------------------------------------------------------------------------------------

WebSocketReceived WebSocketFrames::read(const Until& given) {
  if (std::exchange(is_reading_, true)) {
    throw Misuse(fmt::format("{}: two fibers read from one WebSocket: let one read, and give messages on by a queue", stream_.name()));
  }
  const absl::Cleanup reading = [this] { is_reading_ = false; };
  const Until until = given.from_now();
  while (!has_ended_) {
    if (frame_ || parse_header()) {
      take_payload();
      if (frame_->left == 0) {
        if (std::optional<WebSocketMessage> message = end_frame()) return *std::move(message);
        continue;
      }
    }
    if (const Ended ended = fill(until); !ended) return {ended.why(), stream_.name()};
  }
  return {Why::closed, stream_.name()};
}

Ended WebSocketFrames::fill(const Until& until) {
  try {
    // The rest of a long message comes to where it is to be.
    if (frame_ && !frame_->is_control() && frame_->left > kReadAtOnce && stream_.buffered().empty()) {
      const std::size_t before = message_.size();
      message_.resize(before + kReadAtOnce);
      std::size_t came = 0;
      const absl::Cleanup cut = [&] { message_.resize(before + came); };
      const Received received = stream_.read_some(std::as_writable_bytes(std::span(message_).subspan(before)), until);
      came = received.size();
      apply_mask(std::span(message_).subspan(before, came), frame_->mask, frame_->unmasked);
      frame_->unmasked += came;
      frame_->left -= came;
      if (received.why() == Why::closed) end(WebSocket::kAbnormal);
      return received.why();
    }
    const Ended ended = stream_.fill(until);
    if (ended.why() == Why::closed) end(WebSocket::kAbnormal);
    return ended;
  } catch (const std::exception&) {
    end(WebSocket::kAbnormal);
    throw;
  }
}

bool WebSocketFrames::parse_header() {
  const std::string_view text = stream_.buffered();
  if (text.size() < 2) return false;
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  const bool is_masked = (byte(1) & 0x80) != 0;
  const unsigned short_size = byte(1) & 0x7F;
  const std::size_t size_bytes = short_size == 126 ? 2 : short_size == 127 ? 8 : 0;
  // What is wrong is said as soon as it can be seen.
  if ((byte(0) & 0x70) != 0) fail(WebSocket::kProtocolError, "a reserved bit is set");
  if (is_masked != (role_ == Role::server)) {
    fail(WebSocket::kProtocolError, is_masked ? "a server masks its frames" : "a client does not mask its frames");
  }
  const std::size_t header_size = 2 + size_bytes + (is_masked ? 4 : 0);
  if (text.size() < header_size) return false;

  Header header{static_cast<Opcode>(byte(0) & 0x0F), (byte(0) & 0x80) != 0, {}, short_size, 0};
  if (size_bytes > 0) {
    header.left = 0;
    for (std::size_t i = 0; i < size_bytes; ++i) header.left = header.left << 8 | byte(2 + i);
    if (header.left < (size_bytes == 2 ? 126u : 65536u) || (header.left >> 63) != 0) fail(WebSocket::kProtocolError, "a wrong length of a frame");
  }
  if (is_masked) std::copy_n(text.data() + 2 + size_bytes, 4, header.mask.begin());
  check_header(header);
  stream_.consume(header_size);
  if (header.opcode == Opcode::text || header.opcode == Opcode::binary) message_opcode_ = header.opcode;
  frame_ = header;
  return true;
}

void WebSocketFrames::check_header(const Header& header) {
  switch (header.opcode) {
    case Opcode::close:
    case Opcode::ping:
    case Opcode::pong:
      if (!header.is_last || header.left > kMaxControl) fail(WebSocket::kProtocolError, "a control frame is fragmented, or too long");
      return;
    case Opcode::continuation:
      if (!message_opcode_) fail(WebSocket::kProtocolError, "a continuation of nothing");
      break;
    case Opcode::text:
    case Opcode::binary:
      if (message_opcode_) fail(WebSocket::kProtocolError, "a message within another");
      break;
    default: fail(WebSocket::kProtocolError, "an unknown kind of frame");
  }
  if (header.left > options_.max_message - message_.size()) {
    fail(WebSocket::kTooBig, fmt::format("a message of more than {} bytes", options_.max_message));
  }
}

void WebSocketFrames::take_payload() {
  const std::string_view text = stream_.buffered().substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(stream_.buffered().size(), frame_->left)));
  std::string& into = frame_->is_control() ? control_ : message_;
  const std::size_t before = into.size();
  into.append(text);
  apply_mask(std::span(into).subspan(before), frame_->mask, frame_->unmasked);
  frame_->unmasked += text.size();
  frame_->left -= text.size();
  stream_.consume(text.size());
}

// A message, if one is complete with this frame.
std::optional<WebSocketMessage> WebSocketFrames::end_frame() {
  const Header frame = *std::exchange(frame_, std::nullopt);
  if (frame.is_control()) {
    const std::string payload = std::exchange(control_, {});
    if (frame.opcode == Opcode::close) {
      control_ = payload;
      take_close();
    } else if (frame.opcode == Opcode::ping) {
      answer(Opcode::pong, payload);
    } else {
      ++pongs_;
    }
    return std::nullopt;
  }
  if (!frame.is_last) return std::nullopt;
  const bool is_text = *std::exchange(message_opcode_, std::nullopt) == Opcode::text;
  WebSocketMessage message{std::exchange(message_, {}), is_text};
  if (is_text && !is_utf8(message.data)) fail(WebSocket::kBadData, "a text that is no UTF-8");
  return message;
}

void WebSocketFrames::take_close() {
  const std::string payload = std::exchange(control_, {});
  std::uint16_t code = WebSocket::kNoCode;
  if (!payload.empty()) {
    if (payload.size() < 2) fail(WebSocket::kProtocolError, "half a code of a close");
    code = static_cast<std::uint16_t>(static_cast<unsigned char>(payload[0]) << 8 | static_cast<unsigned char>(payload[1]));
    if (!is_close_code(code)) fail(WebSocket::kProtocolError, "a code of a close that must not be sent");
    if (!is_utf8(std::string_view(payload).substr(2))) fail(WebSocket::kBadData, "a reason that is no UTF-8");
    close_reason_ = payload.substr(2);
  }
  answer(Opcode::close, std::string_view(payload).substr(0, 2));
  end(code);
}

// What read() has to send. That the connection does not take it any more is found by what is read next.
void WebSocketFrames::answer(Opcode opcode, std::string_view payload) {
  if (close_sent_ || is_broken_) return;
  try {
    send_frame(opcode, payload, true, options_.write_limit);
  } catch (const std::runtime_error& error) {
    mothreads::log::debug("{}: {}", stream_.name(), error.what());
  }
}

void WebSocketFrames::end(std::uint16_t code) {
  if (std::exchange(has_ended_, true)) return;
  close_code_ = code;
  ended_.go();
}

void WebSocketFrames::fail(std::uint16_t code, std::string_view why) {
  const std::array<char, 2> payload{static_cast<char>(code >> 8), static_cast<char>(code & 0xFF)};
  answer(Opcode::close, {payload.data(), payload.size()});
  end(code);
  throw WebSocketError(code, fmt::format("{}: {}", stream_.name(), why));
}

// --- writing -----------------------------------------------------------------------------------------------------------------

void WebSocketFrames::check_open() const {
  if (is_broken_) throw Closed(stream_.name(), fmt::format("{}: a message was cut short: nothing can follow it", stream_.name()));
  if (close_sent_ || has_ended_) throw Closed(stream_.name(), fmt::format("{}: the WebSocket is closed", stream_.name()));
}

void WebSocketFrames::write_message(Opcode opcode, std::string_view data, const Until& given) {
  if (opcode == Opcode::text && !is_utf8(data)) {
    throw Misuse(fmt::format("{}: a text that is no UTF-8 cannot be written: use write_binary()", stream_.name()));
  }
  check_open();
  const Until otherwise(options_.write_limit);
  const Until until = (given.is_never() ? otherwise : given).from_now();
  const RLock::Guard alone = message_lock_.enter(until);
  const auto send = [&](Opcode kind) {
    const std::string_view piece = data.substr(0, options_.max_frame);
    send_frame(kind, piece, piece.size() == data.size(), until);
    data.remove_prefix(piece.size());
  };
  send(opcode);
  // Cut short between two frames it is as broken as within one.
  const absl::Cleanup unless_whole = [&] { is_broken_ = is_broken_ || !data.empty(); };
  while (!data.empty()) send(Opcode::continuation);
}

void WebSocketFrames::ping(std::string_view payload, const Until& given) {
  if (payload.size() > kMaxControl) throw Misuse(fmt::format("{}: a ping has at most {} bytes", stream_.name(), kMaxControl));
  const Until otherwise(options_.write_limit);
  send_frame(Opcode::ping, payload, true, given.is_never() ? otherwise : given);
}

void WebSocketFrames::send_frame(Opcode opcode, std::string_view payload, bool is_last, const Until& given) {
  const Until until = given.from_now();
  const RLock::Guard alone = frame_lock_.enter(until);
  check_open();
  std::array<char, 14> header;
  std::size_t size = 2;
  const unsigned mask_bit = role_ == Role::client ? 0x80 : 0;
  header[0] = static_cast<char>(static_cast<unsigned>(opcode) | (is_last ? 0x80u : 0u));
  const auto put_size = [&](std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) header[size++] = static_cast<char>(payload.size() >> (8 * (bytes - 1 - i)) & 0xFF);
  };
  if (payload.size() < 126) {
    header[1] = static_cast<char>(mask_bit | payload.size());
  } else if (payload.size() < 65536) {
    header[1] = static_cast<char>(mask_bit | 126);
    put_size(2);
  } else {
    header[1] = static_cast<char>(mask_bit | 127);
    put_size(8);
  }
  std::string masked;
  if (role_ == Role::client) {
    const Mask mask = new_mask();
    std::copy(mask.begin(), mask.end(), header.begin() + static_cast<std::ptrdiff_t>(size));
    size += mask.size();
    masked = payload;
    apply_mask(masked, mask, 0);
    payload = masked;
  }
  if (opcode == Opcode::close) close_sent_ = true;
  const std::array<std::string_view, 2> pieces{std::string_view(header.data(), size), payload};
  absl::Cleanup cut_short = [this] { is_broken_ = true; };
  stream_.write_all(pieces, until);
  std::move(cut_short).Cancel();
}

void WebSocketFrames::close(std::uint16_t code, std::string_view reason, const Until& given) {
  if (!is_close_code(code) || reason.size() > kMaxControl - 2 || !is_utf8(reason)) {
    throw Misuse(fmt::format("{}: cannot be closed with {} and a reason of {} bytes: take a code of 1000, or of 3000 to 4999, and UTF-8 of at most "
                             "123 bytes",
                             stream_.name(), code, reason.size()));
  }
  const Until until = given.from_now();
  if (!close_sent_ && !has_ended_ && !is_broken_) {
    std::string payload{static_cast<char>(code >> 8), static_cast<char>(code & 0xFF)};
    send_frame(Opcode::close, payload.append(reason), true, until);
  }
  Why why = Why::closed;
  if (is_reading_) {
    if (const Ended ended = ended_.wait(until); !ended) why = ended.why();
  } else {
    while (!has_ended_) {
      const WebSocketReceived received = read(until);
      if (!received && received.why() != Why::closed) {
        why = received.why();
        break;
      }
    }
  }
  if (why == Why::closed) return;
  mothreads::throw_ended_early(why, stream_.name(), fmt::format("{}: {} before the other side had closed", stream_.name(), to_string(why)));
}

}  // namespace cooperative::http::internal
