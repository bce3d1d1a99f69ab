#include "cooperative/io/stream.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <utility>

#include <fmt/core.h>

#include "absl/cleanup/cleanup.h"
#include "absl/container/inlined_vector.h"
#include "cooperative/errors.h"
#include "cooperative/io/file_pool.h"
#include "cooperative/internal/page_memory.h"
#include "mothreads/contexts/context.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"

namespace cooperative {

using mothreads::Ended;
using mothreads::Until;
using mothreads::Why;

namespace {

constexpr std::size_t kReadAhead = 4096;
constexpr std::size_t kFilePiece = 64 * 1024;

}  // namespace

// The limit of a call that takes several steps: a step that need not wait would not look at it. Zero waits for nothing, and ends no steps.
class Stream::TotalLimit {
 public:
  explicit TotalLimit(const Until& given) : limit_(given.from_now()) {
    const std::optional<absl::Duration> duration = given.only_duration();
    ends_steps_ = !given.is_never() && !(duration && *duration <= absl::ZeroDuration());
  }
  const Until& operator*() const { return limit_; }

  // Before each step but the first: whether there is to be another.
  std::optional<Why> has_come() const { return ends_steps_ ? limit_.has_come() : std::nullopt; }

 private:
  const Until limit_;
  bool ends_steps_;
};

std::optional<absl::Duration> Stream::timeout() const {
  if (timeout_ == absl::InfiniteDuration()) return std::nullopt;
  return timeout_;
}

// --- reading -----------------------------------------------------------------------------------------------------------------

std::span<char> Stream::Ahead::room(std::size_t size) {
  const std::size_t used = end_ - begin_;
  if (capacity_ - end_ < size) {
    if (capacity_ - used >= size && begin_ >= used) {
      std::memcpy(bytes_.get(), bytes_.get() + begin_, used);
    } else {
      const std::size_t capacity = std::max({used + size, std::size_t{2} * used, kReadAhead});
      if (capacity > std::numeric_limits<std::uint32_t>::max()) throw std::bad_alloc();
      internal::Memory<char> bytes = internal::make_memory<char>(capacity);
      if (used > 0) std::memcpy(bytes.get(), bytes_.get() + begin_, used);
      bytes_ = std::move(bytes);
      capacity_ = static_cast<std::uint32_t>(capacity);
    }
    begin_ = 0;
    end_ = static_cast<std::uint32_t>(used);
  }
  return {bytes_.get() + end_, capacity_ - end_};
}

Received Stream::receive_ahead(Ahead& ahead, const Until& until) {
  // By way of the stack: while this waits there should be no more memory than before, and another fiber may read.
  ahead.release();
  alignas(64) std::array<std::byte, kReadAhead> room;
  const Received more = receive(room, until);
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
  return with_limit(until, [&](const Until& limit) { return receive(into, limit); });
}

Received Stream::read_exactly(std::span<std::byte> into, const Until& until) {
  spend_act_on_what_is_there();
  std::size_t size = take_ahead(into);
  if (size == into.size()) return {size, Why::ready};
  return with_limit(until, [&](const Until& given) -> Received {
    const TotalLimit limit(given);
    for (bool is_first = true; size < into.size(); is_first = false) {
      if (const std::optional<Why> come = is_first ? std::nullopt : limit.has_come()) return {size, *come};
      // Little by way of what is read ahead, so that the next has it already.
      if (into.size() - size < kReadAhead) {
        const Received more = receive_ahead(ahead_, *limit);
        size += take_ahead(into.subspan(size));
        if (!more) return {size, more.why()};
      } else {
        const Received more = receive(into.subspan(size), *limit);
        size += more.size();
        if (!more) return {size, more.why()};
      }
    }
    return {size, Why::ready};
  });
}

Text Stream::read_exact(std::size_t size, const Until& until) {
  spend_act_on_what_is_there();
  return with_limit(until, [&](const Until& given) -> Text {
    const TotalLimit limit(given);
    for (bool is_first = true; ahead_.size() < size; is_first = false) {
      if (const std::optional<Why> come = is_first ? std::nullopt : limit.has_come()) return *come;
      const Why why = receive_ahead(ahead_, *limit).why();
      if (why == Why::closed) return {take_text(std::min(size, ahead_.size())), why};
      if (why != Why::ready) return why;
    }
    return {take_text(size), Why::ready};
  });
}

Ended Stream::fill(const Until& until) {
  return with_limit(until, [&](const Until& limit) -> Ended { return receive_ahead(ahead_, limit).why(); });
}

Ended Stream::fill_until(absl::FunctionRef<bool(std::string_view)> is_enough, const Until& until) {
  spend_act_on_what_is_there();
  return with_limit(until, [&](const Until& given) -> Ended {
    const TotalLimit limit(given);
    for (bool is_first = true; !is_enough(buffered()); is_first = false) {
      if (const std::optional<Why> come = is_first ? std::nullopt : limit.has_come()) return *come;
      if (const Why why = receive_ahead(ahead_, *limit).why(); why != Why::ready) return why;
    }
    return Why::ready;
  });
}

Text Stream::read_until(std::string_view delimiter, const Until& until) {
  if (delimiter.empty()) throw mothreads::Misuse(fmt::format("{}: read_until() needs a delimiter: use read_all() to read to the end", name()));
  return read_up_to(delimiter, /*is_line=*/false, until);
}

Text Stream::read_line(const Until& until) { return read_up_to("\n", /*is_line=*/true, until); }

Text Stream::read_up_to(std::string_view delimiter, bool is_line, const Until& until) {
  spend_act_on_what_is_there();
  return with_limit(until, [&](const Until& given) -> Text {
    const TotalLimit limit(given);
    std::size_t searched = 0;
    for (bool is_first = true;; is_first = false) {
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
      if (const std::optional<Why> come = is_first ? std::nullopt : limit.has_come()) return *come;
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
  });
}

void Stream::throw_too_long() const { throw TooLong(fmt::format("{}: more than {} bytes came without the delimiter", name(), max_line_)); }

Text Stream::read_all(std::size_t max, const Until& until) {
  return with_limit(until, [&](const Until& given) -> Text {
    const TotalLimit limit(given);
    for (bool is_first = true;; is_first = false) {
      if (ahead_.size() > max) throw TooLong(fmt::format("{}: more than {} bytes came", name(), max));
      if (const std::optional<Why> come = is_first ? std::nullopt : limit.has_come()) return *come;
      const Why why = receive_ahead(ahead_, *limit).why();
      if (why == Why::closed) return {take_text(ahead_.size()), Why::ready};
      if (why != Why::ready) return why;
    }
  });
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
  return with_limit(until, [&](const Until& given) {
    const Until limit = given.from_now();
    flush(limit);
    return send_pieces({&data, 1}, limit);
  });
}

void Stream::write_all(std::span<const std::byte> data, const Until& until) {
  write_all(std::string_view(reinterpret_cast<const char*>(data.data()), data.size()), until);
}

void Stream::write_all(std::string_view data, const Until& until) {
  if (data.empty()) return;
  if (later_.size() > 0) [[unlikely]] {
    const std::string_view pieces[]{data};
    return write_all(pieces, until);
  }
  with_limit(until, [&](const Until& given) {
    const TotalLimit limit(given);
    const Sent sent = send_pieces({&data, 1}, *limit);  // most often all of it
    if (!sent || sent.size() < data.size()) write_rest({&data, 1}, sent, limit);
  });
}

void Stream::write_all(std::span<const std::string_view> pieces, const Until& until) {
  if (std::all_of(pieces.begin(), pieces.end(), [](std::string_view piece) { return piece.empty(); })) return;
  with_limit(until, [&](const Until& given) {
    const TotalLimit limit(given);
    flush(*limit);
    write_rest(pieces, {0, Why::ready}, limit);
  });
}

void Stream::write_what_waits(const Until& until) {
  with_limit(until, [&](const Until& given) {
    const TotalLimit limit(given);
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
        sent = send_pieces({&rest, 1}, *limit);
      } catch (const IoError&) {
        is_broken = true;  // nobody will take it
        throw;
      }
      waiting.drop(sent.size());
      written += sent.size();
      if (sent && waiting.size() == 0) break;
      if (const Why why = sent ? limit.has_come().value_or(Why::ready) : sent.why(); why != Why::ready) {
        throw WriteTimedout(name(), why, written, size, "bytes were flushed");
      }
    }
  });
}

void Stream::make_room_for(std::string_view data, const Until& until) {
  if (data.size() >= kMaxLater) return write_all({&data, 1}, until);
  flush(until);
  later_.append(data.data(), data.size());
}

void Stream::shut_down_writing(const Until& until) {
  with_limit(until, [&](const Until& given) {
    const Until limit = given.from_now();
    flush(limit);
    end_writing(limit);
  });
}

// Writes the pieces that are left after the first call, if there was one.
void Stream::write_rest(std::span<const std::string_view> pieces, Sent sent, const TotalLimit& limit) {
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
    if (const Why why = sent && !is_first ? limit.has_come().value_or(Why::ready) : sent.why(); why != Why::ready) {
      throw WriteTimedout(name(), why, written, size);
    }
    std::size_t done = sent.size();
    while (done >= todo.front().size()) {
      done -= todo.front().size();
      todo = todo.subspan(1);
    }
    todo.front().remove_prefix(done);
    sent = send_pieces(todo, *limit);
  }
}

std::size_t Stream::send_file(int file, off_t offset, std::size_t size, const Until& until) {
  return with_limit(until, [&](const Until& given) {
    const Until limit = given.from_now();
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
        write_all(std::string_view(piece.get(), got), limit);
      } catch (const WriteTimedout& error) {
        throw WriteTimedout(error, written);
      }
      written += got;
    }
    return written;
  });
}

}  // namespace cooperative
