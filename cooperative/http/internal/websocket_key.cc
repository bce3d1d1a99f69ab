#include "cooperative/http/internal/websocket_key.h"

#include <sys/random.h>

#include <array>
#include <cstddef>
#include <system_error>

#include <boost/beast/core/detail/base64.hpp>
#include <boost/beast/core/detail/sha1.hpp>

namespace cooperative::inline v0::http::internal {

namespace beast = boost::beast::detail;

namespace {

constexpr std::size_t kKeySize = 16;

std::string to_base64(const void* data, std::size_t size) {
  std::string text(beast::base64::encoded_size(size), '\0');
  text.resize(beast::base64::encode(text.data(), data, size));
  return text;
}

}  // namespace

std::string websocket_accept_of(std::string_view key) {
  constexpr std::string_view kGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";  // RFC 6455, section 1.3
  beast::sha1_context context;
  beast::init(context);
  beast::update(context, key.data(), key.size());
  beast::update(context, kGuid.data(), kGuid.size());
  std::array<char, beast::sha1_context::digest_size> digest;
  beast::finish(context, digest.data());
  return to_base64(digest.data(), digest.size());
}

std::string make_websocket_key() {
  std::array<char, kKeySize> bytes;
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    throw std::system_error(errno, std::generic_category(), "no random bytes for a WebSocket's key");
  }
  return to_base64(bytes.data(), bytes.size());
}

bool is_websocket_key(std::string_view key) {
  // Sixteen bytes are 22 characters, and two to fill up.
  if (key.size() != 24 || !key.ends_with("==")) return false;
  return key.substr(0, 22).find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") == std::string_view::npos;
}

}  // namespace cooperative::http::internal
