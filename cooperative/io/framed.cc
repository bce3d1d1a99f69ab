#include "cooperative/io/framed.h"

#include <array>
#include <limits>
#include <utility>

#include <fmt/core.h>

#include "mothreads/ended.h"

namespace cooperative::inline v0 {

using mothreads::Until;
using mothreads::Why;

namespace {

constexpr std::size_t kHeader = 4;

std::size_t length_in(std::string_view header) {
  std::size_t length = 0;
  for (const char byte : header.substr(0, kHeader)) length = length << 8 | static_cast<unsigned char>(byte);
  return length;
}

}  // namespace

void send_msg(Stream& stream, std::string_view message, const Until& until) { send_msg(stream, message, {}, until); }

void send_msg(Stream& stream, std::string_view message, const FrameOptions& options, const Until& until) {
  if (message.size() > options.max_message || message.size() > std::numeric_limits<std::uint32_t>::max()) {
    throw TooLong(fmt::format("{}: a message of {} bytes may not be sent, at most {}", stream.name(), message.size(), options.max_message));
  }
  const auto length = static_cast<std::uint32_t>(message.size());
  std::array<char, kHeader> header;
  for (std::size_t i = 0; i < kHeader; ++i) header[i] = static_cast<char>(length >> (8 * (kHeader - 1 - i)));
  const std::array<std::string_view, 2> pieces{std::string_view(header.data(), header.size()), message};
  stream.write_all(pieces, until);
}

ReceivedText recv_msg(Stream& stream, const Until& until) { return recv_msg(stream, {}, until); }

ReceivedText recv_msg(Stream& stream, const FrameOptions& options, const Until& until) {
  const auto is_whole = [&](std::string_view come) {
    if (come.size() < kHeader) return false;
    const std::size_t length = length_in(come);
    if (length > options.max_message) {
      throw TooLong(fmt::format("{}: a message of {} bytes is announced, at most {} may come", stream.name(), length, options.max_message));
    }
    return come.size() - kHeader >= length;
  };
  const mothreads::Ended ended = stream.fill_until(is_whole, until);
  const std::string_view come = stream.buffered();
  if (!ended) {
    if (ended.why() != Why::closed || come.empty()) return ended.why();
    throw CutOff(come.size() < kHeader
                     ? fmt::format("{}: the stream ended inside the length of a message", stream.name())
                     : fmt::format("{}: the stream ended after {} of {} bytes of a message", stream.name(), come.size() - kHeader, length_in(come)));
  }
  const std::size_t length = length_in(come);
  std::string message(come.substr(kHeader, length));
  stream.consume(kHeader + length);
  return {std::move(message), Why::ready};
}

}  // namespace cooperative
