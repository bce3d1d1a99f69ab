#include "cooperative/http/internal/utf8.h"

#include <cstddef>
#include <cstring>

namespace cooperative::inline v0::http::internal {

namespace {

// How many bytes of the text are ASCII, in steps of eight.
std::size_t skip_ascii(std::string_view text) {
  std::size_t at = 0;
  for (std::uint64_t eight = 0; text.size() - at >= sizeof eight; at += sizeof eight) {
    std::memcpy(&eight, text.data() + at, sizeof eight);
    if ((eight & 0x8080808080808080u) != 0) break;
  }
  return at;
}

}  // namespace

bool Utf8Check::add(std::string_view piece) {
  Utf8Check at = *this;
  std::size_t i = needed_ == 0 ? skip_ascii(piece) : 0;
  while (i < piece.size()) {
    const auto byte = static_cast<unsigned char>(piece[i]);
    ++i;
    if (at.needed_ == 0) {
      if (byte >= 0x80 && !at.begin(byte)) return false;
      continue;
    }
    if (byte < at.low_ || byte > at.high_) return false;
    at.needed_ = static_cast<std::uint8_t>(at.needed_ - 1);
    at.low_ = 0x80;
    at.high_ = 0xBF;
    if (at.needed_ == 0) i += skip_ascii(piece.substr(i));
  }
  *this = at;
  return true;
}

// The first byte of a character that has more. False for one that begins none.
bool Utf8Check::begin(std::uint8_t first) {
  if (first < 0xC2 || first > 0xF4) return false;  // a later one; a longer form of a shorter character; beyond the last
  needed_ = first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
  if (first == 0xE0) low_ = 0xA0;   // likewise a longer form
  if (first == 0xED) high_ = 0x9F;  // surrogates
  if (first == 0xF0) low_ = 0x90;
  if (first == 0xF4) high_ = 0x8F;
  return true;
}

bool is_utf8(std::string_view text) {
  Utf8Check check;
  return check.add(text) && check.is_whole();
}

}  // namespace cooperative::http::internal
