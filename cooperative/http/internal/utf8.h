#pragma once

#include <string_view>

namespace cooperative::http::internal {

// Without surrogates, overlong forms, and what is beyond U+10FFFF.
bool is_utf8(std::string_view text);

}  // namespace cooperative::http::internal
