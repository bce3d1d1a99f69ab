#pragma once

// The target of a request, RFC 9112 section 3.2.

#include <cstdint>
#include <optional>
#include <string_view>

namespace cooperative::inline v0::http::internal {

struct HttpTarget {
  bool is_valid = false;
  bool has_authority = false;  // of the absolute form, which goes to proxies, and which a server takes all the same
  std::string_view authority;
  std::string_view path;  // "*" of OPTIONS
  std::string_view query;
};

HttpTarget split_target(std::string_view method, std::string_view target);

// "http://host:port/path?query#fragment", whose fragment is nobody's but the browser's.
struct HttpUrl {
  std::string_view authority;
  std::string_view host;  // without the brackets of an IPv6 address
  std::uint16_t port = 80;
  std::string_view path;
  std::string_view query;
};

std::optional<HttpUrl> split_http_url(std::string_view url);

// A name or an address, with or without a port. An empty one is valid.
bool is_valid_host(std::string_view host);

}  // namespace cooperative::http::internal
