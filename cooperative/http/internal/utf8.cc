#include "cooperative/http/internal/utf8.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace cooperative::http::internal {

bool is_utf8(std::string_view text) {
  std::size_t i = 0;
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  const auto follows = [&](std::size_t at, unsigned char low = 0x80, unsigned char high = 0xBF) {
    return at < text.size() && byte(at) >= low && byte(at) <= high;
  };
  while (i < text.size()) {
    std::uint64_t eight = 0;
    if (text.size() - i >= sizeof eight) {
      std::memcpy(&eight, text.data() + i, sizeof eight);
      if ((eight & 0x8080808080808080u) == 0) {
        i += sizeof eight;
        continue;
      }
    }
    const unsigned char first = byte(i);
    if (first < 0x80) {
      i += 1;
    } else if (first >= 0xC2 && first <= 0xDF) {
      if (!follows(i + 1)) return false;
      i += 2;
    } else if ((first & 0xF0) == 0xE0) {
      const unsigned char low = first == 0xE0 ? 0xA0 : 0x80;
      const unsigned char high = first == 0xED ? 0x9F : 0xBF;
      if (!follows(i + 1, low, high) || !follows(i + 2)) return false;
      i += 3;
    } else if (first >= 0xF0 && first <= 0xF4) {
      const unsigned char low = first == 0xF0 ? 0x90 : 0x80;
      const unsigned char high = first == 0xF4 ? 0x8F : 0xBF;
      if (!follows(i + 1, low, high) || !follows(i + 2) || !follows(i + 3)) return false;
      i += 4;
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace cooperative::http::internal
