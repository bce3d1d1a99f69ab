#include "catools/server/internal/wire.h"

namespace catools::inline v0::internal {

namespace {

constexpr std::uint32_t kLarge = 0xffff;  // in the field of the size: both numbers follow the header

}  // namespace

void append_header(std::string& out, Header header) {
  const auto size = static_cast<std::uint32_t>(padded(header.size));
  const bool is_large = size >= kLarge || header.count >= kLarge;
  append_number(out, static_cast<std::uint16_t>(header.command));
  append_number(out, static_cast<std::uint16_t>(is_large ? kLarge : size));
  append_number(out, header.type);
  append_number(out, static_cast<std::uint16_t>(is_large ? 0 : header.count));
  append_number(out, header.first);
  append_number(out, header.second);
  if (!is_large) return;
  append_number(out, size);
  append_number(out, header.count);
}

std::optional<ParsedHeader> parse_header(std::string_view bytes) {
  if (bytes.size() < kHeaderSize) return std::nullopt;
  Header header{.command = static_cast<Command>(number_at<std::uint16_t>(bytes, 0)),
                .size = number_at<std::uint16_t>(bytes, 2),
                .type = number_at<std::uint16_t>(bytes, 4),
                .count = number_at<std::uint16_t>(bytes, 6),
                .first = number_at<std::uint32_t>(bytes, 8),
                .second = number_at<std::uint32_t>(bytes, 12)};
  if (header.size != kLarge) return ParsedHeader{header, kHeaderSize};
  if (bytes.size() < kLargeHeaderSize) return std::nullopt;
  header.size = number_at<std::uint32_t>(bytes, 16);
  header.count = number_at<std::uint32_t>(bytes, 20);
  return ParsedHeader{header, kLargeHeaderSize};
}

}  // namespace catools::inline v0::internal
