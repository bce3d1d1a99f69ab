#pragma once

// Channel Access messages for tests: bytes written as in a description of the protocol, and messages made and read.

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "catools/server/internal/wire.h"

namespace catools::inline v0::testing {

// Bytes of pairs of hexadecimal digits; blanks between them count for nothing.
inline std::string bytes_of_hex(std::string_view text) {
  std::string bytes;
  int high = -1;
  for (const char c : text) {
    const std::size_t digit = std::string_view("0123456789abcdef").find(c);
    if (c == ' ') continue;
    if (digit == std::string_view::npos) throw std::invalid_argument("no hexadecimal digit");
    if (high < 0) {
      high = static_cast<int>(digit);
    } else {
      bytes.push_back(static_cast<char>(high * 16 + static_cast<int>(digit)));
      high = -1;
    }
  }
  return bytes;
}

inline std::string hex_of(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    text.push_back("0123456789abcdef"[static_cast<unsigned char>(c) >> 4]);
    text.push_back("0123456789abcdef"[static_cast<unsigned char>(c) & 15]);
  }
  return text;
}

struct CaMessage {
  internal::Header header;
  std::string payload = {};

  template <typename Number>
  Number number_at(std::size_t at) const {
    return internal::number_at<Number>(payload, at);
  }
  // So many of them from the first on.
  template <typename Number>
  std::vector<Number> numbers_at(std::size_t at, std::size_t count) const {
    std::vector<Number> numbers(count);
    internal::copy_from_wire(numbers.data(), payload.data() + at, count);
    return numbers;
  }
  std::string_view text_at(std::size_t at) const { return internal::text_in(std::string_view(payload).substr(at)); }
};

inline std::string message(internal::Header header, std::string_view payload = {}) {
  header.size = static_cast<std::uint32_t>(payload.size());
  std::string bytes;
  internal::append_header(bytes, header);
  bytes.append(payload).append(internal::padded(payload.size()) - payload.size(), '\0');
  return bytes;
}

inline std::vector<CaMessage> messages_in(std::string_view bytes) {
  std::vector<CaMessage> messages;
  while (const auto parsed = internal::parse_header(bytes)) {
    const std::size_t size = parsed->length + parsed->header.size;
    if (bytes.size() < size) break;
    messages.push_back({parsed->header, std::string(bytes.substr(parsed->length, parsed->header.size))});
    bytes.remove_prefix(size);
  }
  if (!bytes.empty()) throw std::invalid_argument("a message that is cut short");
  return messages;
}

template <typename Number>
std::string payload_of(const std::vector<Number>& numbers) {
  std::string bytes(numbers.size() * sizeof(Number), '\0');
  internal::copy_to_wire(bytes.data(), numbers.data(), numbers.size());
  return bytes;
}

// The payload of EVENT_ADD: three numbers that nobody uses, and the mask.
inline std::string mask_payload(std::uint16_t events) {
  std::string bytes(12, '\0');
  internal::append_number(bytes, events);
  return bytes + std::string(2, '\0');
}

inline std::string name_payload(std::string_view name) { return std::string(name) + '\0'; }

}  // namespace catools::inline v0::testing
