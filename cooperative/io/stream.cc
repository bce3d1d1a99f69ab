#include "cooperative/io/stream.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/core.h>

#include "absl/cleanup/cleanup.h"
#include "absl/container/inlined_vector.h"
#include "cooperative/errors.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/internal/stack/page_memory.h"
#include "cooperative/io/file_pool.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0 {

using mothreads::Ended;
using mothreads::Limit;
using mothreads::Until;
using mothreads::Why;

namespace {

constexpr std::size_t kReadAhead = 4096;
constexpr std::size_t kFilePiece = 64 * 1024;

}  // namespace

Limit Stream::start_limited(const Until& until) const {
  internal::SchedulerCore* const core = internal::SchedulerCore::current_or_null();
  const auto started = [core](const Until& given) { return core != nullptr ? core->start(given) : Limit(given); };
  return until.is_never() ? started(timeout_) : started(until);
}

std::optional<absl::Duration> Stream::timeout() const {
  if (timeout_ == absl::InfiniteDuration()) return std::nullopt;
  return timeout_;
}

// --- reading -----------------------------------------------------------------------------------------------------------------

Received Stream::receive_ahead(Ahead& ahead, Limit limit) {
  // By way of the stack: while this waits there should be no more memory than before, and another fiber may read.
  ahead.release();
  alignas(64) std::array<std::byte, kReadAhead> room;
  const Received more = receive(room, limit);
  if (more.size() > 0) ahead.append(reinterpret_cast<const char*>(room.data()), more.size());
  return more;
}

std::size_t Stream::take_ahead(std::span<std::byte> into) {
  const std::size_t size = std::min(into.size(), ahead_.size());
  if (size == 0) return 0;
  std::memcpy(into.data(), ahead_.view().data(), size);
  ahead_.drop(size);
  return size;
}

// Taking what has been read ahead costs no operation, which would spend more.
void Stream::spend_act_on_what_is_there() const {
  if (ahead_.size() > 0) mothreads::internal::Context::spend_act();
}

std::string Stream::take_text(std::size_t size) {
  std::string text;
  internal::append_much(text, ahead_.view().substr(0, size));
  ahead_.drop(size);
  return text;
}

void Stream::consume(std::size_t bytes) {
  if (bytes > ahead_.size()) {
    throw mothreads::Misuse(fmt::format("{}: more bytes were consumed than are buffered: consume what buffered() shows", name()));
  }
  ahead_.drop(bytes);
}

Received Stream::read_some(std::span<std::byte> into, const Until& until) {
  if (into.empty()) return {0, Why::ready};
  spend_act_on_what_is_there();
  if (const std::size_t size = take_ahead(into); size > 0) return {size, Why::ready};
  const Visit visit(*this);
  return receive(into, start(until));
}

Received Stream::read_rest(std::span<std::byte> into, const Until& until) {
  spend_act_on_what_is_there();
  std::size_t size = take_ahead(into);
  if (size == into.size()) return {size, Why::ready};
  const Visit visit(*this);
  const Limit limit = start(until);
  while (true) {
    // Little by way of what is read ahead, so that the next has it already.
    if (into.size() - size < kReadAhead) {
      const Received more = receive_ahead(ahead_, limit);
      size += take_ahead(into.subspan(size));
      if (!more) return {size, more.why()};
    } else {
      const Received more = receive(into.subspan(size), limit);
      size += more.size();
      if (!more) return {size, more.why()};
    }
    if (size == into.size()) return {size, Why::ready};
    if (const std::optional<Why> come = limit.ends_steps()) return {size, *come};
  }
}

ReceivedText Stream::read_exact(std::size_t size, const Until& until) {
  const Ended ended = fill_until([size](std::string_view there) { return there.size() >= size; }, until);
  if (ended.why() == Why::closed) return {take_text(std::min(size, ahead_.size())), Why::closed};
  if (!ended) return ended.why();
  return {take_text(size), Why::ready};
}

Ended Stream::fill(const Until& until) { return receive_ahead(ahead_, start(until)).why(); }

Ended Stream::fill_until(absl::FunctionRef<bool(std::string_view)> is_enough, const Until& until) {
  spend_act_on_what_is_there();
  if (is_enough(buffered())) return Why::ready;
  const Limit limit = start(until);
  while (true) {
    if (const Why why = receive_ahead(ahead_, limit).why(); why != Why::ready) return why;
    if (is_enough(buffered())) return Why::ready;
    if (const std::optional<Why> come = limit.ends_steps()) return *come;
  }
}

ReceivedText Stream::read_until(std::string_view delimiter, const Until& until) {
  if (delimiter.empty()) throw mothreads::Misuse(fmt::format("{}: read_until() needs a delimiter: use read_all() to read to the end", name()));
  return read_up_to(delimiter, /*is_line=*/false, until);
}

ReceivedText Stream::read_line(const Until& until) { return read_up_to("\n", /*is_line=*/true, until); }

ReceivedText Stream::read_up_to(std::string_view delimiter, bool is_line, const Until& until) {
  spend_act_on_what_is_there();
  std::size_t searched = 0;
  std::optional<Limit> limit;  // started where there is not enough
  while (true) {
    const std::string_view there = buffered();
    const std::size_t found = there.find(delimiter, searched);
    const bool is_there = found != std::string_view::npos;
    const std::size_t size = std::min(found, there.size());
    // No text: it may be the begin of a line's end.
    const std::size_t not_text = is_line && size > 0 && there[size - 1] == '\r' ? 1 : 0;
    if (is_there && size - not_text <= max_line_) {
      std::string text(there.substr(0, size - not_text));
      ahead_.drop(size + delimiter.size());
      return {std::move(text), Why::ready, /*has_delimiter=*/true};
    }
    // A delimiter may still come just behind the last byte that a line can have.
    if (is_there || (size > max_line_ && size - not_text - max_line_ >= delimiter.size())) throw_too_long();
    searched = size - std::min(size, delimiter.size() - 1);
    if (!limit) {
      limit = start(until);
    } else if (const std::optional<Why> come = limit->ends_steps()) {
      return *come;
    }
    const std::uint32_t drops = ahead_.drops();
    const Why why = receive_ahead(ahead_, *limit).why();
    if (drops != ahead_.drops()) searched = 0;  // another fiber has read meanwhile
    if (why == Why::closed && is_line && ahead_.size() > 0) {
      if (ahead_.size() > max_line_) throw_too_long();  // what might have been the begin of its end was text
      return {take_text(ahead_.size()), Why::ready};
    }
    if (why == Why::closed) return {take_text(ahead_.size()), why};
    if (why != Why::ready) return why;
  }
}

void Stream::throw_too_long() const { throw TooLong(fmt::format("{}: more than {} bytes came without the delimiter", name(), max_line_)); }

ReceivedText Stream::read_all(std::size_t max, const Until& until) {
  const Limit limit = start(until);
  while (true) {
    if (ahead_.size() > max) throw TooLong(fmt::format("{}: more than {} bytes came", name(), max));
    const Why why = receive_ahead(ahead_, limit).why();
    if (why == Why::closed) return {take_text(ahead_.size()), Why::ready};
    if (why != Why::ready) return why;
    if (ahead_.size() > max) continue;
    if (const std::optional<Why> come = limit.ends_steps()) return *come;
  }
}

// --- writing -----------------------------------------------------------------------------------------------------------------

Stream& Stream::operator=(Stream&& other) noexcept {
  if (this == &other) return *this;
  end_visits();
  ahead_ = std::move(other.ahead_);
  later_ = std::move(other.later_);
  max_line_ = other.max_line_;
  timeout_ = other.timeout_;
  return *this;
}

void Stream::end_visits() noexcept {
  for (Visit* visit = std::exchange(visits_, nullptr); visit != nullptr; visit = visit->next_) visit->stream_ = nullptr;
}

Stream::Visit::~Visit() {
  if (stream_ == nullptr) return;
  Visit** link = &stream_->visits_;
  while (*link != this) link = &(*link)->next_;
  *link = next_;
}

void Stream::Visit::check() const {
  if (stream_ == nullptr) throw Closed("a stream", "a stream was destroyed while a fiber wrote to it");
}

Stream::~Stream() {
  end_visits();
  if (later_.size() > 0) mothreads::log::warning("{} bytes that were written later were lost: the stream went without a flush()", later_.size());
}

Sent Stream::write_some(std::string_view data, const Until& until) {
  if (data.empty()) return {0, Why::ready};
  const Limit limit = start(until);
  flush_within(limit);
  return send_pieces({&data, 1}, limit);
}

void Stream::write_all(std::span<const std::byte> data, const Until& until) {
  write_all(std::string_view(reinterpret_cast<const char*>(data.data()), data.size()), until);
}

void Stream::write_all(std::string_view data, const Until& until) {
  if (data.empty()) return;
  const Limit limit = start(until);
  flush_within(limit);
  const Sent sent = send_pieces({&data, 1}, limit);  // most often all of it
  if (!sent || sent.size() < data.size()) write_rest({&data, 1}, sent, limit);
}

void Stream::write_all(std::span<const std::string_view> pieces, const Until& until) { write_pieces(pieces, start(until)); }

void Stream::write_pieces(std::span<const std::string_view> pieces, Limit limit) {
  if (std::all_of(pieces.begin(), pieces.end(), [](std::string_view piece) { return piece.empty(); })) return;
  flush_within(limit);
  write_rest(pieces, {0, Why::ready}, limit);
}

void Stream::write_what_waits(Limit limit) {
  Ahead waiting = std::move(later_);
  std::size_t written = 0;
  const Visit visit(*this);
  bool is_broken = false;
  // Whatever interrupts it: what is left stays in front of what comes later.
  const absl::Cleanup keep = [&] {
    if (visit.is_stream_gone()) {
      mothreads::log::warning("{} bytes that were written later were lost: the stream went while they were flushed", waiting.size());
      return;
    }
    if (is_broken) return;
    waiting.append(later_.view().data(), later_.size());
    later_ = std::move(waiting);
  };
  const std::size_t size = waiting.size();
  while (waiting.size() > 0) {
    const std::string_view rest = waiting.view();
    Sent sent{0, Why::ready};
    try {
      sent = send_pieces({&rest, 1}, limit);
    } catch (const IoError&) {
      is_broken = true;  // nobody will take it
      throw;
    }
    waiting.drop(sent.size());
    written += sent.size();
    if (sent && waiting.size() == 0) break;
    if (const Why why = sent ? limit.ends_steps().value_or(Why::ready) : sent.why(); why != Why::ready) {
      throw WriteTimedout(name(), why, written, size, "bytes were flushed");
    }
  }
}

void Stream::make_room_for(std::string_view data, Limit limit) {
  if (data.size() >= kMaxLater) return write_pieces({&data, 1}, limit);
  flush_within(limit);
  later_.append(data.data(), data.size());
}

void Stream::shut_down_writing(const Until& until) {
  const Limit limit = start(until);
  flush_within(limit);
  end_writing(limit);
}

// Writes the pieces that are left after the first call, if there was one.
void Stream::write_rest(std::span<const std::string_view> pieces, Sent sent, Limit limit) {
  absl::InlinedVector<std::string_view, 8> left;
  std::size_t size = 0;
  for (const std::string_view piece : pieces) {
    if (!piece.empty()) left.push_back(piece);
    size += piece.size();
  }
  std::size_t written = 0;
  std::span<std::string_view> todo(left);
  for (bool is_first = sent && sent.size() == 0;; is_first = false) {
    written += sent.size();
    if (sent && written == size) return;  // all may be taken, and not on its way
    if (const Why why = sent && !is_first ? limit.ends_steps().value_or(Why::ready) : sent.why(); why != Why::ready) {
      throw WriteTimedout(name(), why, written, size);
    }
    std::size_t done = sent.size();
    while (done >= todo.front().size()) {
      done -= todo.front().size();
      todo = todo.subspan(1);
    }
    todo.front().remove_prefix(done);
    sent = send_pieces(todo, limit);
  }
}

std::size_t Stream::send_file(int file, off_t offset, std::size_t size, const Until& until) {
  const Limit limit = start(until);
  const Visit visit(*this);
  const std::size_t room = std::min(size, kFilePiece);
  const internal::Memory<char> piece = internal::make_memory<char>(room);
  std::size_t written = 0;
  while (written < size) {
    const std::span<char> into(piece.get(), std::min(size - written, room));
    std::size_t got = 0;
    const Why why = read_from_file(file, into, static_cast<std::uint64_t>(offset) + written, got, limit);
    visit.check();
    if (why != Why::ready) throw WriteTimedout(name(), why, written, size, "bytes of a file were written");
    if (got == 0) break;
    try {
      const std::string_view data(piece.get(), got);
      write_pieces({&data, 1}, limit);
    } catch (const WriteTimedout& error) {
      throw WriteTimedout(error, written);
    }
    written += got;
  }
  return written;
}

}  // namespace cooperative
