#pragma once

#include <cstdint>
#include <string_view>

namespace cooperative::inline v0::http::internal {

bool is_utf8(std::string_view text);

// Checks a text that comes in pieces. A piece may end within a character.
class Utf8Check {
 public:
  // False when no text goes on so; then none of the piece was taken.
  bool add(std::string_view piece);
  // No character is left half.
  bool is_whole() const { return needed_ == 0; }

 private:
  bool begin(std::uint8_t first);

  std::uint8_t needed_ = 0;                  // so many bytes of the character are still to come ...
  std::uint8_t low_ = 0x80, high_ = 0xBF;    // ... of which the next lies between these
};

}  // namespace cooperative::http::internal
