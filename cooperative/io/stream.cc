#include "cooperative/io/stream.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include <fmt/core.h>

#include "absl/container/inlined_vector.h"
#include "mothreads/misuse.h"

namespace cooperative {

using mothreads::Ended;
using mothreads::Until;
using mothreads::Why;

namespace {

constexpr std::size_t kReadAhead = 4096;

}  // namespace

std::optional<absl::Duration> Stream::timeout() const {
  if (timeout_ == absl::InfiniteDuration()) return std::nullopt;
  return timeout_;
}

// --- reading -----------------------------------------------------------------------------------------------------------------

std::size_t Stream::take_buffered(std::span<std::byte> into) {
  const std::size_t size = std::min(into.size(), buffer_.size() - taken_);
  if (size == 0) return 0;
  std::memcpy(into.data(), buffer_.data() + taken_, size);
  consume(size);
  return size;
}

std::string Stream::take_text(std::size_t size) {
  std::string text;
  if (taken_ == 0 && size == buffer_.size()) {
    text = std::exchange(buffer_, {});
  } else {
    text = buffer_.substr(taken_, size);
    consume(size);
  }
  return text;
}

void Stream::consume(std::size_t bytes) {
  if (bytes > buffer_.size() - taken_) {
    throw mothreads::Misuse(fmt::format("{}: more bytes were consumed than are buffered: consume what buffered() shows", name()));
  }
  taken_ += bytes;
  if (taken_ == buffer_.size()) {
    taken_ = 0;
    if (buffer_.capacity() > kReadAhead) buffer_ = {};  // an idle stream holds little
    buffer_.clear();
  }
}

Received Stream::read_some(std::span<std::byte> into, const Until& until) {
  if (into.empty()) return {0, Why::ready};
  if (const std::size_t size = take_buffered(into); size > 0) return {size, Why::ready};
  return with_limit(until, [&](const Until& limit) { return receive(into, limit); });
}

Received Stream::read_exact(std::span<std::byte> into, const Until& until) {
  std::size_t size = take_buffered(into);
  if (size == into.size()) return {size, Why::ready};
  return with_limit(until, [&](const Until& given) -> Received {
    const Until limit = given.from_now();
    while (size < into.size()) {
      const Received more = receive(into.subspan(size), limit);
      size += more.size();
      if (!more) return {size, more.why()};
    }
    return {size, Why::ready};
  });
}

Text Stream::read_exact(std::size_t size, const Until& until) {
  return with_limit(until, [&](const Until& given) -> Text {
    const Until limit = given.from_now();
    while (buffer_.size() - taken_ < size) {
      const Why why = fill_once(limit);
      if (why == Why::closed) return {take_text(buffer_.size() - taken_), why};
      if (why != Why::ready) return why;
    }
    return {take_text(size), Why::ready};
  });
}

Why Stream::fill_once(const Until& limit) {
  if (taken_ > 0) {
    buffer_.erase(0, taken_);
    taken_ = 0;
  }
  // Into memory of the caller's first: other fibers may read meanwhile, and what waits long should not hold much.
  std::array<std::byte, kReadAhead> room;
  const Received more = receive(room, limit);
  buffer_.append(reinterpret_cast<const char*>(room.data()), more.size());
  return more.why();
}

Ended Stream::fill(const Until& until) {
  return with_limit(until, [&](const Until& limit) -> Ended { return fill_once(limit); });
}

Text Stream::read_until(std::string_view delimiter, const Until& until) {
  if (delimiter.empty()) throw mothreads::Misuse(fmt::format("{}: read_until() needs a delimiter: use read_all() to read to the end", name()));
  return with_limit(until, [&](const Until& given) -> Text {
    const Until limit = given.from_now();
    std::size_t searched = 0;
    while (true) {
      const std::string_view there = buffered();
      const std::size_t found = there.find(delimiter, searched);
      if (found != std::string_view::npos && found <= max_line_) {
        std::string text(there.substr(0, found));
        consume(found + delimiter.size());
        return {std::move(text), Why::ready};
      }
      // A delimiter may still come just behind the last byte that a line can have.
      if (there.size() >= max_line_ + delimiter.size() || found != std::string_view::npos) {
        throw TooLong(fmt::format("{}: more than {} bytes came without the delimiter", name(), max_line_));
      }
      searched = there.size() - std::min(there.size(), delimiter.size() - 1);
      const Why why = fill_once(limit);
      if (why == Why::closed) return {take_text(buffer_.size() - taken_), why};
      if (why != Why::ready) return why;
    }
  });
}

Text Stream::read_line(const Until& until) {
  Text line = read_until("\n", until);
  if (!line || !line->ends_with('\r')) return line;
  std::string text = *std::move(line);
  text.pop_back();
  return {std::move(text), Why::ready};
}

Text Stream::read_all(std::size_t max, const Until& until) {
  return with_limit(until, [&](const Until& given) -> Text {
    const Until limit = given.from_now();
    while (true) {
      if (buffer_.size() - taken_ > max) throw TooLong(fmt::format("{}: more than {} bytes came", name(), max));
      const Why why = fill_once(limit);
      if (why == Why::closed && buffer_.size() - taken_ <= max) return {take_text(buffer_.size() - taken_), Why::ready};
      if (why != Why::ready && why != Why::closed) return why;
    }
  });
}

// --- writing -----------------------------------------------------------------------------------------------------------------

Sent Stream::write_some(std::string_view data, const Until& until) {
  if (data.empty()) return {0, Why::ready};
  return with_limit(until, [&](const Until& limit) { return send_pieces({&data, 1}, limit); });
}

void Stream::write_all(std::span<const std::byte> data, const Until& until) {
  write_all(std::string_view(reinterpret_cast<const char*>(data.data()), data.size()), until);
}

void Stream::write_all(std::string_view data, const Until& until) { write_all({&data, 1}, until); }

void Stream::write_all(std::span<const std::string_view> pieces, const Until& until) {
  absl::InlinedVector<std::string_view, 8> left;
  std::size_t size = 0;
  for (const std::string_view piece : pieces) {
    if (!piece.empty()) left.push_back(piece);
    size += piece.size();
  }
  if (left.empty()) return;
  with_limit(until, [&](const Until& given) {
    const Until limit = given.from_now();
    std::size_t written = 0;
    std::span<std::string_view> todo(left);
    while (true) {
      const Sent sent = send_pieces(todo, limit);
      written += sent.size();
      if (written == size) return;
      if (!sent) {
        throw WriteTimedout(fmt::format("{}: {} after {} of {} bytes were written", name(),
                                        sent.why() == Why::stopped ? "stopped" : "timed out", written, size),
                            written);
      }
      std::size_t done = sent.size();
      while (done >= todo.front().size()) {
        done -= todo.front().size();
        todo = todo.subspan(1);
      }
      todo.front().remove_prefix(done);
    }
  });
}

}  // namespace cooperative
