#pragma once

#include <ctime>
#include <string>

namespace cooperative::inline v0::http::internal {

// "Sun, 06 Nov 1994 08:49:37 GMT": RFC 9110, section 5.6.7. A response has two of them, and the libraries' general ways to format a time
// take longer than all the rest of it. Of years 0 to 9999; what is beyond them becomes the first or the last.
std::string format_http_date(std::time_t time);

}  // namespace cooperative::http::internal
