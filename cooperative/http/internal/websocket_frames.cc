#include "cooperative/http/internal/websocket_frames.h"

#include <algorithm>
#include <span>
#include <utility>

#include <fmt/core.h>

#include "absl/cleanup/cleanup.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/http/internal/deadline.h"
#include "cooperative/io/stream.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0::http::internal {

using mothreads::Instant;
using mothreads::Limit;
using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Until;
using mothreads::Why;

namespace {

constexpr std::size_t kReadAtOnce = 64 * 1024;

}  // namespace

WebSocketFrames::WebSocketFrames(Stream& stream, Role role, const WebSocketOptions& options, std::string protocol, WebSocketTurns* turns)
    : stream_(stream),
      role_(role),
      max_message_(options.max_message),
      write_limit_(options.write_limit),
      protocol_(std::move(protocol)),
      output_(stream, role, options, end_),
      interrupt_(turns != nullptr                                                     ? mothreads::NEVER
                 : options.draining.value_or(mothreads::NEVER) == mothreads::NEVER ? end_.signal
                                                                                   : end_.signal | *options.draining) {
  end_.turns = turns;
}

WebSocketFrames::~WebSocketFrames() {
  if (is_reading_ && !born_.is_left_behind()) {
    mothreads::internal::fatal_misuse(fmt::format("{}: a WebSocket was destroyed while a fiber reads from it: wait for that fiber first", name()));
  }
}

std::string WebSocketFrames::name() const { return stream_.name(); }

// --- reading -----------------------------------------------------------------------------------------------------------------

WebSocketReceived WebSocketFrames::read(const Until& until) {
  home_.check("a WebSocket");
  const Inside inside(*this);
  if (end_.turns != nullptr) {
    throw Misuse(fmt::format("{}: read() of a WebSocket whose messages are given to a WebSocketHandler: take them in on_message", name()));
  }
  if (std::exchange(is_reading_, true)) {
    throw Misuse(fmt::format("{}: two fibers read from one WebSocket: let one read, and give messages on by a queue", name()));
  }
  const absl::Cleanup reading = [this] { is_reading_ = false; };
  const Limit limit(until);
  while (true) {
    if (std::optional<WebSocketMessage> message = take()) return *std::move(message);
    if (end_.has_come) return {Why::closed, name()};
    if (const Why why = fill(limit); why != Why::ready) return {why, name()};
  }
}

std::optional<WebSocketMessage> WebSocketFrames::take() {
  while (!end_.has_come) {
    output_.leave_if_draining();
    if (is_late()) end_.come(WebSocket::kAbnormal);
    if (end_.has_come || (!frame_ && !parse_header())) break;
    take_payload();
    if (frame_->left > 0) break;
    if (std::optional<WebSocketMessage> message = end_frame()) return message;
  }
  return std::nullopt;
}

bool WebSocketFrames::is_late() const { return end_.expected_by && Limit().sooner(*end_.expected_by).has_come(); }

// `ready` also when there is something else for read() to look at.
Why WebSocketFrames::fill(Limit limit) {
  const Fiber<void> sender = output_.flush_meanwhile();
  const std::optional<absl::Duration> timeout = limit.is_never() ? stream_.timeout() : std::nullopt;
  const Limit whole = timeout ? limit.sooner(deadline_in(*timeout)) : limit;
  const Why why = end_.expected_by ? receive(Limit(whole | end_.signal | *end_.expected_by)) : receive(Limit(whole | interrupt_));
  if (end_.has_come || is_late()) return Why::ready;
  return output_.has_to_leave() && !limit.has_come() ? Why::ready : why;
}

Why WebSocketFrames::receive(Limit limit) {
  try {
    if (frame_ && !is_control(frame_->opcode) && frame_->left > kReadAtOnce && stream_.buffered().empty()) return receive_much(limit);
    const Why why = stream_.fill(limit).why();
    if (why == Why::closed) end_.come(WebSocket::kAbnormal);
    return why;
  } catch (const std::exception&) {
    end_.come(WebSocket::kAbnormal);
    throw;
  }
}

// The rest of a long message, by way of a buffer that begins at a page, as the kernel likes it.
Why WebSocketFrames::receive_much(Limit limit) {
  if (room_ == nullptr) room_ = cooperative::internal::make_memory<char>(kReadAtOnce);
  const Received received = stream_.read_some(std::as_writable_bytes(std::span(room_.get(), kReadAtOnce)), limit);
  const std::size_t before = message_.size();
  message_.append(room_.get(), received.size());
  unmask(message_, before);
  if (received.why() == Why::closed) end_.come(WebSocket::kAbnormal);
  return received.why();
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
  if (header.opcode == Opcode::text || header.opcode == Opcode::binary) {
    message_opcode_ = header.opcode;
    text_check_ = {};
  }
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
  if (header.left > max_message_ - message_.size()) {
    fail(WebSocket::kTooBig, fmt::format("a message of more than {} bytes", max_message_));
  }
}

void WebSocketFrames::take_payload() {
  const std::string_view text = stream_.buffered().substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(stream_.buffered().size(), frame_->left)));
  std::string& into = is_control(frame_->opcode) ? control_ : message_;
  const std::size_t before = into.size();
  into.append(text);
  stream_.consume(text.size());
  unmask(into, before);
}

// Takes the part of the frame's payload that has come.
void WebSocketFrames::unmask(std::string& text, std::size_t from) {
  const std::span<char> came = std::span(text).subspan(from);
  apply_mask(came, frame_->mask, frame_->unmasked);
  frame_->unmasked += came.size();
  frame_->left -= came.size();
  if (is_control(frame_->opcode) || message_opcode_ != Opcode::text) return;
  if (!text_check_.add({came.data(), came.size()})) fail(WebSocket::kBadData, "a text that is no UTF-8");
}

// A message, if one is complete with this frame.
std::optional<WebSocketMessage> WebSocketFrames::end_frame() {
  const Header frame = *std::exchange(frame_, std::nullopt);
  room_.reset();
  if (is_control(frame.opcode)) {
    const std::string payload = std::exchange(control_, {});
    if (frame.opcode == Opcode::close) {
      take_close(payload);
    } else if (frame.opcode == Opcode::ping) {
      output_.owe_pong(payload);
    } else {
      ++pongs_;
    }
    return std::nullopt;
  }
  if (!frame.is_last) return std::nullopt;
  const bool is_text = *std::exchange(message_opcode_, std::nullopt) == Opcode::text;
  WebSocketMessage message{std::exchange(message_, {}), is_text};
  if (is_text && !text_check_.is_whole()) fail(WebSocket::kBadData, "a text that is no UTF-8");
  return message;
}

void WebSocketFrames::take_close(std::string_view payload) {
  std::uint16_t code = WebSocket::kNoCode;
  if (!payload.empty()) {
    if (payload.size() < 2) fail(WebSocket::kProtocolError, "half a code of a close");
    code = static_cast<std::uint16_t>(static_cast<unsigned char>(payload[0]) << 8 | static_cast<unsigned char>(payload[1]));
    if (!is_close_code(code)) fail(WebSocket::kProtocolError, "a code of a close that must not be sent");
    if (!is_utf8(payload.substr(2))) fail(WebSocket::kBadData, "a reason that is no UTF-8");
    end_.reason = payload.substr(2);
  }
  output_.owe_close(payload.substr(0, 2));
  end_.come(code);
}

void WebSocketFrames::fail(std::uint16_t code, std::string_view why) {
  output_.owe_close(close_payload(code));
  end_.come(code);
  throw WebSocketError(code, fmt::format("{}: {}", name(), why));
}

// --- writing -----------------------------------------------------------------------------------------------------------------

Limit WebSocketFrames::start_writing(const Until& until) const {
  return until.is_never() ? Limit().sooner(deadline_in(write_limit_)) : Limit(until);
}

void WebSocketFrames::write_message(Opcode opcode, std::string_view data, const Until& until) {
  if (opcode == Opcode::text && !is_utf8(data)) {
    throw Misuse(fmt::format("{}: a text that is no UTF-8 cannot be written: use write_binary()", name()));
  }
  home_.check("a WebSocket");
  const Inside inside(*this);
  const Limit limit = start_writing(until);
  output_.begin_message(opcode, limit);
  const absl::Cleanup end = [this] { output_.end_message(); };
  output_.write_piece(data, /*is_last=*/true, limit);
}

void WebSocketFrames::begin_message(Opcode opcode, const Until& until) {
  home_.check("a WebSocket");
  const Inside inside(*this);
  output_.begin_message(opcode, start_writing(until));
}

void WebSocketFrames::write_piece(std::string_view data, bool is_last, const Until& until) {
  home_.check("a WebSocket");
  const Inside inside(*this);
  if (!output_.is_in_message()) {
    throw Misuse(fmt::format("{}: a fiber that has not begun a message writes a piece of it: let the one that has write all of it", name()));
  }
  output_.write_piece(data, is_last, start_writing(until));
}

void WebSocketFrames::ping(std::string_view payload, const Until& until) {
  home_.check("a WebSocket");
  const Inside inside(*this);
  output_.ping(payload, start_writing(until));
}

// --- the end -----------------------------------------------------------------------------------------------------------------

void WebSocketFrames::close(std::uint16_t code, std::string_view reason, const Until& until) {
  if (!is_close_code(code) || reason.size() > kMaxControl - 2 || !is_utf8(reason)) {
    throw Misuse(fmt::format("{}: cannot be closed with {} and a reason of {} bytes: take a code of 1000, or of 3000 to 4999, and UTF-8 of at most "
                             "123 bytes",
                             name(), code, reason.size()));
  }
  home_.check("a WebSocket");
  const Inside inside(*this);
  const Limit limit(until);
  if (!end_.has_come) output_.owe_close(close_payload(code, reason));
  if (end_.turns != nullptr) return close_by_turns(*end_.turns, limit);
  Why why = await_end(limit);
  if (why == Why::ready) why = output_.flush(limit);
  if (why != Why::ready) refuse_wait(why);
}

void WebSocketFrames::refuse_wait(Why why) const {
  mothreads::throw_ended_early(why, name(), fmt::format("{}: {} before the other side had closed", name(), to_string(why)));
}

Why WebSocketFrames::await_end(Limit limit) {
  if (is_reading_ && !end_.has_come) {
    const Why why = output_.flush(limit);
    return why == Why::ready ? end_.signal.wait(limit).why() : why;
  }
  while (!end_.has_come) {
    if (const WebSocketReceived received = read(limit); !received && received.why() != Why::closed) return received.why();
  }
  return Why::ready;
}

// --- in turns ----------------------------------------------------------------------------------------------------------------

void WebSocketFrames::end_message() noexcept {
  writer_ = nullptr;
  output_.end_message();
}

Why WebSocketFrames::await_turn(Instant silent_by) {
  const Fiber<void> sender = output_.flush_meanwhile();
  if (!needs_fiber()) return Why::stopped;  // it went at once
  const Signal change = end_.signal;
  Why why;
  if (is_leaving()) {
    why = receive(Limit(change | *end_.expected_by));
  } else {
    const Signal sent = sender.owns() ? sender.stopped() : mothreads::NEVER;
    why = receive(Limit(change | output_.draining() | sent | silent_by | output_.owes_until()));
  }
  if (output_.is_stuck() && !is_leaving()) {
    mothreads::log::info("{}: the other side did not take a pong in time", name());
    output_.break_off();
  }
  if (end_.has_come) return Why::closed;
  if (why == Why::ready) return Why::ready;
  return !is_leaving() && Limit().sooner(silent_by).has_come() ? Why::timed_out : Why::stopped;
}

Why WebSocketFrames::await_more(absl::Duration limit) {
  const Signal change = end_.signal;
  return stream_.fill(limit | change | output_.draining()).why();
}

// A turn goes on with it when its function returns. Another fiber waits for the turn that drops what still comes.
void WebSocketFrames::close_by_turns(WebSocketTurns& turns, Limit limit) {
  turns.drops = true;
  if (!end_.has_come) end_.expect(deadline_in(turns.close_limit));
  if (turns.fiber == current_fiber() || end_.has_come) return;
  limit = limit.sooner(*end_.expected_by);
  Why why = output_.flush(limit);
  if (why == Why::ready && !end_.has_come) why = end_.signal.wait(limit).why();
  if (is_late()) end_.come(WebSocket::kAbnormal);
  if (why != Why::ready && !end_.has_come) refuse_wait(why);
}

FiberParent WebSocketFrames::fibers() {
  home_.check("a WebSocket");
  if (end_.turns == nullptr) {
    throw Misuse(fmt::format("{}: fibers() of a WebSocket that a fiber serves: make fibers below that one", name()));
  }
  if (end_.has_come) throw Closed(name(), fmt::format("{}: the WebSocket has ended: it takes no more fibers", name()));
  std::optional<FiberGroup>& group = end_.turns->fibers;
  if (!group) group.emplace(FiberGroupOptions{.name = name() + "'s fibers", .parent = end_.turns->owner.parent});
  return *group;
}

void WebSocketFrames::begin_end_of_calls() noexcept {
  output_.break_off();
  end_.come(WebSocket::kAbnormal);
  take_from_writer();
  if (output_.is_sending()) stream_.close();  // there is no room for it
}

void WebSocketFrames::take_from_writer() noexcept {
  if (writer_ == nullptr) return;
  writer_->lose(mothreads::internal::kAccess);
  end_message();
}

void WebSocketFrames::await_end_of_calls() noexcept {
  while (inside_ > 0) end_.turns->all_left.wait();
  take_from_writer();  // of a message that began meanwhile
}

}  // namespace cooperative::http::internal
