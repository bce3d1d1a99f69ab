#include "docs/examples/file_server/throttled_stream.h"

#include <algorithm>

#include "cooperative/sleep.h"
#include "mothreads/clock.h"

namespace file_server {

namespace co = cooperative;
using mothreads::Clock;
using mothreads::Until;
using mothreads::Why;

ThrottledStream::ThrottledStream(co::Stream& below, std::uint64_t bytes_per_second)
    : below_(below),
      bytes_per_second_(bytes_per_second),
      piece_(static_cast<std::size_t>(std::clamp<std::uint64_t>(bytes_per_second / 10, 1, 64 * 1024))) {}

co::Received ThrottledStream::receive(std::span<std::byte> into, mothreads::Limit limit) { return below_.read_some(into, limit); }

co::Sent ThrottledStream::send_pieces(std::span<const std::string_view> pieces, mothreads::Limit limit) {
  if (Clock::current().now() < next_) {
    co::sleep(limit | next_);
    if (Clock::current().now() < next_) return {0, limit.has_come().value_or(Why::timed_out)};
  }
  const co::Sent sent = below_.write_some(pieces.front().substr(0, piece_), limit);
  const absl::Duration takes = absl::Seconds(1) * static_cast<std::int64_t>(sent.size()) / static_cast<std::int64_t>(bytes_per_second_);
  next_ = std::max(next_, Clock::current().now()) + absl::ToChronoNanoseconds(takes);
  return sent;
}

}  // namespace file_server
