#include "catools/server/internal/search.h"

#include <optional>
#include <utility>

namespace catools::inline v0::internal {

namespace {

constexpr std::size_t kMaxReply = 1024;  // bytes of a datagram that passes every network
constexpr std::uint16_t kHasSequence = 1;

}  // namespace

void append_search_reply(std::string& out, const Header& request, std::uint16_t port) {
  append_header(out, {.command = Command::search, .size = 8, .type = port, .first = kNoAddress, .second = request.second});
  append_number(out, kMinorVersion);
  out.append(6, '\0');
}

std::vector<std::string> answer_search(std::string_view datagram, const Directory& directory, std::uint16_t port) {
  std::vector<std::string> replies;
  std::optional<std::uint32_t> sequence;
  const auto begin_reply = [&] {
    std::string reply;
    append_header(reply, {.command = Command::version,
                          .type = sequence ? kHasSequence : std::uint16_t{0},
                          .count = kMinorVersion,
                          .first = sequence.value_or(0)});
    return reply;
  };
  while (const std::optional<ParsedHeader> parsed = parse_header(datagram)) {
    const auto& [header, length] = *parsed;
    if (datagram.size() - length < header.size) break;
    const std::string_view payload = datagram.substr(length, header.size);
    datagram.remove_prefix(length + header.size);
    if (header.command == Command::version) {
      if (header.type == kHasSequence) sequence = header.first;
      continue;
    }
    if (header.command != Command::search) continue;
    const std::string_view name = text_in(payload);
    if (name.empty() || directory.find(name) == nullptr) continue;
    if (replies.empty() || replies.back().size() + kHeaderSize + 8 > kMaxReply) replies.push_back(begin_reply());
    append_search_reply(replies.back(), header, port);
  }
  return replies;
}

}  // namespace catools::inline v0::internal
