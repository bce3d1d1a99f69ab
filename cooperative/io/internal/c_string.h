#pragma once

// Text on its way to the system, which takes it as a C string and would silently stop at a zero byte: another object than the caller named.

#include <cerrno>
#include <string>
#include <string_view>

#include <fmt/core.h>

#include "cooperative/io/io_error.h"

namespace cooperative::inline v0::internal::io {

inline bool has_zero(std::string_view text) { return text.find('\0') != std::string_view::npos; }

// Throws IoError with std::errc::invalid_argument when `text`, which names the object, has a zero byte.
inline void check_c_string(std::string_view text, std::string_view object, std::string_view verb) {
  if (has_zero(text)) [[unlikely]] throw IoError(EINVAL, object, fmt::format("{}: its name has a zero byte", verb));
}

}  // namespace cooperative::internal::io
