#include "cooperative/http/http_body.h"

#include <algorithm>

#include <fmt/core.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/http/internal/deadline.h"
#include "cooperative/http/internal/http_parser.h"
#include "cooperative/internal/stack/page_memory.h"
#include "cooperative/io/stream.h"
#include "mothreads/clock.h"

namespace cooperative::inline v0::http {

using cooperative::internal::append_much;
using cooperative::internal::kWorthAPage;
using cooperative::internal::make_memory;
using cooperative::internal::Memory;
using internal::HttpParser;
using mothreads::Clock;
using mothreads::Ended;
using mothreads::Limit;
using mothreads::Until;
using mothreads::Why;

namespace {

constexpr std::size_t kAtOnce = 256 * 1024;  // of a body that is read whole

}  // namespace

void Body::begin(Stream& stream, HttpParser* parser, Framing framing, std::uint64_t size, std::uint64_t max, absl::Duration limit) {
  stream_ = &stream;
  parser_ = parser;
  framing_ = framing;
  size_ = left_ = size;
  taken_ = 0;
  max_ = max;
  limit_ = limit;
  deadline_.reset();
  wants_continue_ = false;
  is_broken_ = false;
  is_done_ = framing == Framing::none || (framing == Framing::sized && size == 0);
}

std::optional<std::uint64_t> Body::size() const {
  if (framing_ == Framing::none || framing_ == Framing::sized) return size_;
  return std::nullopt;
}

Received Body::read_some(std::span<std::byte> into, const Until& until) {
  if (is_done_) return {0, Why::closed};
  if (into.empty()) return {0, Why::ready};
  if (is_broken_) refuse(400, "the rest of a body that could not be taken was asked for");
  is_broken_ = true;  // unless it goes well
  const Received received = read_once(into, Limit(until));
  is_broken_ = false;
  return received;
}

Received Body::read_once(std::span<std::byte> into, Limit limit) {
  const auto refuse_late = [&] { refuse(408, fmt::format("a body took longer than {}", absl::FormatDuration(limit_))); };
  if (deadline_ && Clock::current().now() >= *deadline_) refuse_late();  // what has come already would not look at the time
  if (!deadline_ && limit_ != absl::InfiniteDuration()) deadline_ = internal::deadline_in(limit_);
  if (wants_continue_) send_continue();
  if (deadline_) limit = limit.sooner(*deadline_);
  const Received received = framing_ == Framing::chunked ? read_chunked(into, limit) : read_sized(into, limit);
  taken_ += received.size();
  if (taken_ > max_) refuse(413, fmt::format("a body of more than {} bytes", max_));
  if (received.why() == Why::timed_out && deadline_ && Clock::current().now() >= *deadline_) refuse_late();
  return received;
}

void Body::refuse(int status, std::string_view why) const {
  const std::string what = fmt::format("{}: {}", stream_->name(), why);
  if (is_reply_) throw BadReply(status == 413 ? BadReply::Fault::long_body : BadReply::Fault::malformed, what);
  throw Error(status, what);
}

// Only a client that still holds the body back waits for it.
void Body::send_continue() {
  wants_continue_ = false;
  if (stream_->buffered().empty()) stream_->write_all("HTTP/1.1 100 Continue\r\n\r\n", limit_);
}

Received Body::read_sized(std::span<std::byte> into, Limit limit) {
  const bool has_size = framing_ == Framing::sized;
  if (has_size) into = into.first(static_cast<std::size_t>(std::min<std::uint64_t>(into.size(), left_)));
  const Received received = stream_->read_some(into, limit);
  if (received.why() == Why::closed) {
    if (has_size) throw CutShort(fmt::format("{}: ended {} bytes before the end of a body", stream_->name(), left_));
    is_done_ = true;
  } else if (has_size) {
    left_ -= received.size();
    is_done_ = left_ == 0;
  }
  return received;
}

Received Body::read_chunked(std::span<std::byte> into, Limit limit) {
  while (true) {
    const std::string_view text = stream_->buffered();
    const HttpParser::Chunk chunk = parser_->parse_chunks(text, reinterpret_cast<char*>(into.data()), into.size());
    stream_->consume(chunk.consumed);
    switch (chunk.step) {
      case HttpParser::Step::done: is_done_ = true; break;
      case HttpParser::Step::need_more: break;
      default: refuse(400, parser_->why());
    }
    if (chunk.copied > 0) return {chunk.copied, Why::ready};
    if (is_done_) return {0, Why::closed};
    const Ended ended = stream_->fill(limit);
    if (ended.why() == Why::closed) throw CutShort(fmt::format("{}: ended before the last chunk of a body", stream_->name()));
    if (!ended) return {0, ended.why()};
  }
}

std::string Body::read_all(std::size_t max, const Until& until) {
  const auto refuse_long = [&] { refuse(413, fmt::format("a body of more than {} bytes", max)); };
  if (is_done_) return {};
  if (framing_ == Framing::sized && left_ > max) refuse_long();
  const Limit limit(until);
  std::string all;
  // Much comes by way of memory that begins at a page, which a string's does not: see cooperative/internal/stack/page_memory.h.
  Memory<char> much;
  std::size_t much_size = 0;
  while (!is_done_) {
    // Not more at once than has come so far: what is announced need not come.
    const std::size_t before = all.size();
    std::size_t room = std::clamp<std::size_t>(before, 4096, kAtOnce);
    if (framing_ == Framing::sized) room = static_cast<std::size_t>(std::min<std::uint64_t>(room, left_));
    Received received{0, Why::ready};
    if (room < kWorthAPage) {
      all.resize(before + room);
      received = read_some(std::as_writable_bytes(std::span(all).subspan(before)), limit);
      all.resize(before + received.size());
    } else {
      if (room > much_size) much = make_memory<char>(much_size = room);
      received = read_some(std::as_writable_bytes(std::span(much.get(), room)), limit);
      append_much(all, {much.get(), received.size()});
    }
    if (all.size() > max) refuse_long();
    if (received.why() == Why::timed_out || received.why() == Why::stopped) {
      mothreads::throw_ended_early(received.why(), stream_->name(),
                                   fmt::format("{}: {} while it read a body", stream_->name(), to_string(received.why())));
    }
  }
  return all;
}

}  // namespace cooperative::http
