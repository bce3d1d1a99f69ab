#include "cooperative/testing/memory_stream.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <deque>

#include <fmt/core.h>

#include "cooperative/errors.h"
#include "cooperative/io/io_error.h"
#include "mothreads/clock.h"
#include "mothreads/instant.h"
#include "mothreads/internal/base/random_number.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/lock.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0::testing {

using mothreads::Clock;
using mothreads::Instant;
using mothreads::Misuse;
using mothreads::Limit;
using mothreads::Why;
using mothreads::internal::Context;

// Both directions. Its lock guards all but what is constant. A side that waits keeps the link, since its stream may be closed and destroyed meanwhile.
class MemoryStream::Link {
 public:
  explicit Link(const MemoryStreamOptions& options)
      : options_(options), random_(options.seed.value_or(seed_here())), lock_(options.name) {
    const auto check = [&](bool holds, const char* what) {
      if (!holds) throw Misuse(fmt::format("MemoryStream \"{}\": {}", options.name, what));
    };
    for (const absl::Duration time : {options.latency, options.latency_spread}) {
      check(time >= absl::ZeroDuration() && time != absl::InfiniteDuration(), "a latency is not negative, and has an end");
    }
    check(options.room > 0, "room = 0 would take no byte: give it at least one");
    is_cut_ = options.cut_after == 0U;
  }

  std::string name_of(int side) const { return fmt::format("{}, side {}", options_.name, side + 1); }

  bool is_open(int side) {
    const auto held = lock_.enter();
    return !is_closed_[side];
  }

  void cut() {
    const auto held = lock_.enter();
    is_cut_ = true;
  }

  void close(int side) {
    const auto held = lock_.enter();
    if (is_closed_[side]) return;
    is_closed_[side] = true;
    end(ways_[side]);
    ways_[side].is_reset = ways_[other(side)].size > 0;
  }

  void shut_down(int side) {
    const auto held = lock_.enter();
    check_open(side, "shut down");
    end(ways_[side]);
  }

  Received receive(int side, std::span<std::byte> into, Limit limit) {
    Way& way = ways_[other(side)];
    std::size_t got = 0;
    const Why why = until_done(limit, [&](Instant now, std::optional<Instant>& next) {
      check_open(side, "receive");
      if (way.bytes.empty()) {
        const bool has_ended = way.ends && *way.ends <= now;
        if (has_ended ? way.is_reset : is_cut_) throw IoError(ECONNRESET, name_of(side), "receive");
        next = way.ends;
        return has_ended ? Why::closed : Why::timed_out;
      }
      next = way.bytes.front().arrives;
      if (*next > now) return Why::timed_out;
      got = take(way, into, now);
      return Why::ready;
    });
    return {got, why};
  }

  Sent send(int side, std::span<const std::string_view> pieces, Limit limit) {
    Way& way = ways_[side];
    std::size_t sent = 0;
    const Why why = until_done(limit, [&](Instant, std::optional<Instant>&) {
      check_open(side, "send");
      if (is_cut_) throw IoError(ECONNRESET, name_of(side), "send");
      if (way.ends || is_closed_[other(side)]) throw IoError(EPIPE, name_of(side), "send");
      if (way.size >= options_.room) return Why::timed_out;
      sent = put(way, pieces);
      return Why::ready;
    });
    return {sent, why};
  }

 private:
  struct Bytes {
    std::string text;
    std::size_t taken = 0;
    Instant arrives;
  };
  // What one side has written, and the other has not read.
  struct Way {
    std::deque<Bytes> bytes;
    std::size_t size = 0;
    Instant last_arrival = Instant::min();
    std::optional<Instant> ends;  // when the reader learns that no more comes
    bool is_reset = false;        // then that is an error
  };

  static int other(int side) { return 1 - side; }

  static std::uint64_t seed_here() {
    return Context::current().simulation() != nullptr ? mothreads::internal::random_number() : 1;
  }

  // Inside the lock until `attempt` gives `ready` or `closed`, or the limit has come. An attempt says `timed_out` when it must wait, and for
  // what time, if it knows one.
  template <typename Attempt>
  Why until_done(Limit limit, Attempt attempt) {
    Context::spend_act();
    auto held = lock_.enter();
    std::optional<Why> come;
    while (true) {
      std::optional<Instant> next;
      if (const Why why = attempt(Clock::current().now(), next); why != Why::timed_out) return why;
      if (come) return *come;
      const bool was_woken = static_cast<bool>(held.wait(next ? limit.sooner(*next) : limit));
      if (!was_woken) come = limit.has_come();
    }
  }

  // Of so many at most.
  std::size_t piece_of(std::size_t most) {
    if (options_.pieces == Pieces::whole || most <= 1) return most;
    return 1 + draw() % most;
  }
  // The increments and the finalizer of splitmix64.
  std::uint64_t draw() {
    std::uint64_t value = random_ += 0x9e3779b97f4a7c15;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return value ^ (value >> 31);
  }

  Instant arrival(Way& way) {
    std::int64_t later = absl::ToInt64Nanoseconds(options_.latency);
    if (const std::int64_t spread = absl::ToInt64Nanoseconds(options_.latency_spread); spread > 0) {
      later += static_cast<std::int64_t>(draw() % (static_cast<std::uint64_t>(spread) + 1));
    }
    way.last_arrival = std::max(way.last_arrival, Clock::current().now() + std::chrono::nanoseconds(later));
    return way.last_arrival;
  }

  void end(Way& way) {
    if (!way.ends) way.ends = arrival(way);
  }

  std::size_t take(Way& way, std::span<std::byte> into, Instant now) {
    std::size_t there = 0;
    for (const Bytes& bytes : way.bytes) {
      if (bytes.arrives > now || there >= into.size()) break;
      there += bytes.text.size() - bytes.taken;
    }
    const std::size_t size = piece_of(std::min(there, into.size()));
    for (std::size_t done = 0; done < size;) {
      Bytes& first = way.bytes.front();
      const std::size_t part = std::min(size - done, first.text.size() - first.taken);
      std::memcpy(into.data() + done, first.text.data() + first.taken, part);
      done += part;
      first.taken += part;
      if (first.taken == first.text.size()) way.bytes.pop_front();
    }
    way.size -= size;
    return size;
  }

  std::size_t put(Way& way, std::span<const std::string_view> pieces) {
    std::size_t all = 0;
    for (const std::string_view piece : pieces) all += piece.size();
    std::size_t size = piece_of(std::min(all, options_.room - way.size));
    if (options_.cut_after) size = static_cast<std::size_t>(std::min<std::uint64_t>(size, *options_.cut_after - carried_));
    std::string text;
    text.reserve(size);
    for (const std::string_view piece : pieces) text.append(piece.substr(0, size - text.size()));
    way.bytes.push_back({.text = std::move(text), .arrives = arrival(way)});
    way.size += size;
    carried_ += size;
    if (carried_ == options_.cut_after) is_cut_ = true;
    return size;
  }

  void check_open(int side, const char* verb) const {
    if (!is_closed_[side]) return;
    throw Closed(name_of(side), fmt::format("{}: closed, so it cannot {}", name_of(side), verb));
  }

  const MemoryStreamOptions options_;
  std::uint64_t random_;
  mothreads::Lock lock_;
  std::array<Way, 2> ways_;  // of what side 1 has written, and side 2
  std::array<bool, 2> is_closed_ = {};
  bool is_cut_ = false;
  std::uint64_t carried_ = 0;  // bytes, of both
};

std::pair<MemoryStream, MemoryStream> MemoryStream::pair(const MemoryStreamOptions& options) {
  const auto link = std::make_shared<Link>(options);
  return {MemoryStream(link, 0), MemoryStream(link, 1)};
}

MemoryStream& MemoryStream::operator=(MemoryStream&& other) noexcept {
  if (this == &other) return *this;
  close();
  Stream::operator=(std::move(other));
  link_ = std::move(other.link_);
  side_ = other.side_;
  return *this;
}

MemoryStream::~MemoryStream() { close(); }

void MemoryStream::cut() {
  if (link_ != nullptr) link_->cut();
}

void MemoryStream::close() {
  if (link_ == nullptr) return;
  const mothreads::internal::NoUnwind whole;
  link_->close(side_);
}

bool MemoryStream::is_open() const { return link_ != nullptr && link_->is_open(side_); }

std::string MemoryStream::name() const { return link_ == nullptr ? "memory stream that was moved from" : link_->name_of(side_); }

// A share of the caller's own: the stream may be gone when the call ends.
std::shared_ptr<MemoryStream::Link> MemoryStream::share() const {
  if (link_ == nullptr) throw Misuse("a MemoryStream that was moved from is used: use the one that it was moved to");
  return link_;
}

Received MemoryStream::receive(std::span<std::byte> into, Limit limit) {
  const std::shared_ptr<Link> link = share();
  return link->receive(side_, into, limit);
}

Sent MemoryStream::send_pieces(std::span<const std::string_view> pieces, Limit limit) {
  const std::shared_ptr<Link> link = share();
  return link->send(side_, pieces, limit);
}

void MemoryStream::end_writing(Limit) {
  const std::shared_ptr<Link> link = share();
  link->shut_down(side_);
}

}  // namespace cooperative::testing
