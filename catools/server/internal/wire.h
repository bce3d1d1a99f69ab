#pragma once

// The frame of Channel Access messages: commands, status codes, headers, and numbers in network order.
//
// A message is a header of 16 bytes and a payload, which is padded to 8 bytes. A header whose size field is 0xffff is 24 bytes long: the size and
// the count follow as 32 bits each.

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

namespace catools::inline v0::internal {

inline constexpr std::uint16_t kMinorVersion = 13;  // the protocol is 4.13
inline constexpr std::uint32_t kNoAddress = 0xffffffff;  // in a search reply: the client takes the sender's

enum class Command : std::uint16_t {
  version = 0,
  event_add = 1,
  event_cancel = 2,
  read = 3,
  write = 4,
  search = 6,
  events_off = 8,
  events_on = 9,
  read_sync = 10,
  error = 11,
  clear_channel = 12,
  read_notify = 15,
  create_channel = 18,
  write_notify = 19,
  client_name = 20,
  host_name = 21,
  access_rights = 22,
  echo = 23,
  create_channel_failed = 26,
  channel_gone = 27,
};

// The numbers are those of EPICS' caerr.h: they travel.
enum class Status : std::uint32_t {
  normal = 1,
  no_memory = 48,
  too_large = 72,
  bad_type = 114,
  internal_error = 142,
  get_failed = 152,
  put_failed = 160,
  bad_count = 176,
  bad_mask = 330,
  no_read_access = 368,
  no_write_access = 376,
  bad_channel = 410,
};

// The events that a client wants to be told of.
enum EventMask : std::uint16_t { kValueEvents = 1, kLogEvents = 2, kAlarmEvents = 4, kPropertyEvents = 8, kAllEvents = 15 };

struct Header {
  Command command = Command::version;
  std::uint32_t size = 0;  // bytes of the payload
  std::uint16_t type = 0;
  std::uint32_t count = 0;
  std::uint32_t first = 0;   // two numbers that each command has its own use for
  std::uint32_t second = 0;

  friend bool operator==(const Header&, const Header&) = default;
};

inline constexpr std::size_t kHeaderSize = 16;
inline constexpr std::size_t kLargeHeaderSize = 24;

constexpr std::size_t padded(std::size_t size) { return (size + 7) & ~std::size_t{7}; }

// --- numbers -------------------------------------------------------------------------------------------------------------------

template <std::size_t Size>
using Unsigned = std::conditional_t<Size == 1, std::uint8_t,
                                    std::conditional_t<Size == 2, std::uint16_t, std::conditional_t<Size == 4, std::uint32_t, std::uint64_t>>>;

template <std::unsigned_integral U>
constexpr U in_network_order(U number) {
  if constexpr (std::endian::native == std::endian::big || sizeof(U) == 1) {
    return number;
  } else if constexpr (sizeof(U) == 2) {
    return __builtin_bswap16(number);
  } else if constexpr (sizeof(U) == 4) {
    return __builtin_bswap32(number);
  } else {
    return __builtin_bswap64(number);
  }
}

// So many numbers, of any alignment. The compiler makes a loop of whole words of it.
template <typename Number>
void copy_to_wire(char* to, const Number* numbers, std::size_t count) {
  using U = Unsigned<sizeof(Number)>;
  for (std::size_t i = 0; i < count; ++i) {
    const U swapped = in_network_order(std::bit_cast<U>(numbers[i]));
    std::memcpy(to + i * sizeof(U), &swapped, sizeof(U));
  }
}

template <typename Number>
void copy_from_wire(Number* numbers, const char* from, std::size_t count) {
  using U = Unsigned<sizeof(Number)>;
  for (std::size_t i = 0; i < count; ++i) {
    U swapped;
    std::memcpy(&swapped, from + i * sizeof(U), sizeof(U));
    numbers[i] = std::bit_cast<Number>(in_network_order(swapped));
  }
}

template <typename Number>
void append_number(std::string& out, Number number) {
  char bytes[sizeof(Number)];
  copy_to_wire(bytes, &number, 1);
  out.append(bytes, sizeof bytes);
}

template <typename Number>
Number number_at(std::string_view bytes, std::size_t at) {
  Number number{};
  copy_from_wire(&number, bytes.data() + at, 1);
  return number;
}

// A text in a field of so many bytes, zeros behind it.
inline void append_text(std::string& out, std::string_view text, std::size_t field) {
  const std::string_view fits = text.substr(0, field);
  out.append(fits).append(field - fits.size(), '\0');
}

// The text at the front of a field, up to its zero.
inline std::string_view text_in(std::string_view field) { return field.substr(0, field.find('\0')); }

// --- headers -------------------------------------------------------------------------------------------------------------------

// The size of the payload is rounded up to 8 bytes: who appends the payload pads it.
void append_header(std::string& out, Header header);

struct ParsedHeader {
  Header header;
  std::size_t length;  // 16 or 24
};
// Nothing when the header has not come whole.
std::optional<ParsedHeader> parse_header(std::string_view bytes);

}  // namespace catools::inline v0::internal
