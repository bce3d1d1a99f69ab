#pragma once

#include <string>
#include <string_view>

namespace cooperative::inline v0::http::internal {

// Sec-WebSocket-Accept for a Sec-WebSocket-Key.
std::string websocket_accept_of(std::string_view key);

// Sixteen random bytes in base64.
std::string make_websocket_key();
bool is_websocket_key(std::string_view key);

}  // namespace cooperative::http::internal
