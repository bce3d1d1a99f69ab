#include "cooperative/http/internal/target.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <system_error>

#include "cooperative/http/headers.h"

namespace cooperative::inline v0::http::internal {

namespace {

bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

// Whether each "%" of it is followed by two hexadecimal digits.
bool has_whole_escapes(std::string_view text) {
  for (std::size_t at = text.find('%'); at != std::string_view::npos; at = text.find('%', at + 1)) {
    if (text.size() - at < 3 || !is_hex(text[at + 1]) || !is_hex(text[at + 2])) return false;
  }
  return true;
}

// Browsers send some characters bare that RFC 3986 wants encoded, "|" among them; those are left to handlers.
constexpr std::array<bool, 256> kIsTargetChar = [] {
  std::array<bool, 256> table{};
  for (int c = '!'; c < 0x7f; ++c) table[static_cast<std::size_t>(c)] = c != '#';
  return table;
}();

bool is_valid_text(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return kIsTargetChar[static_cast<unsigned char>(c)]; }) && has_whole_escapes(text);
}

}  // namespace

bool is_valid_host(std::string_view host) {
  std::string_view port;
  if (host.starts_with('[')) {
    const std::size_t end = host.find(']');
    if (end == std::string_view::npos || end == 1) return false;
    const std::string_view address = host.substr(1, end - 1);
    if (!std::all_of(address.begin(), address.end(), [](char c) { return is_hex(c) || c == ':' || c == '.'; })) return false;
    port = host.substr(end + 1);
    if (!port.empty() && port.front() != ':') return false;
    if (!port.empty()) port.remove_prefix(1);
  } else {
    const std::size_t colon = host.find(':');
    const std::string_view name = host.substr(0, colon);
    if (colon != std::string_view::npos) {
      port = host.substr(colon + 1);
      if (name.empty()) return false;
    }
    // The characters of a registered name: RFC 3986.
    const auto is_name_char = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             std::string_view("-._~!$&'()*+;=%").find(c) != std::string_view::npos;
    };
    if (!std::all_of(name.begin(), name.end(), is_name_char) || !has_whole_escapes(name)) return false;
  }
  return port.size() <= 5 && std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
}

HttpTarget split_target(std::string_view method, std::string_view target) {
  if (!is_valid_text(target)) return {};
  HttpTarget split;
  std::string_view rest = target;
  if (method == "CONNECT") {
    split.is_valid = !target.empty() && is_valid_host(target);
    split.has_authority = true;
    split.authority = target;
    return split;
  }
  if (target == "*") {
    split.is_valid = method == "OPTIONS";
    split.path = target;
    return split;
  }
  if (!target.starts_with('/')) {
    const std::size_t colon = target.find("://");
    if (colon == std::string_view::npos) return {};
    const std::string_view scheme = target.substr(0, colon);
    if (!http_iequals(scheme, "http") && !http_iequals(scheme, "https")) return {};
    rest = target.substr(colon + 3);
    const std::size_t end = rest.find_first_of("/?");
    split.authority = rest.substr(0, end);
    split.has_authority = true;
    if (split.authority.empty() || !is_valid_host(split.authority)) return {};
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end);
  }
  const std::size_t question = rest.find('?');
  split.path = rest.substr(0, question);
  if (split.path.empty()) split.path = "/";
  if (question != std::string_view::npos) split.query = rest.substr(question + 1);
  split.is_valid = true;
  return split;
}

std::optional<HttpUrl> split_http_url(std::string_view url) {
  const std::string_view target = url.substr(0, url.find('#'));
  constexpr std::string_view kScheme = "http://";
  if (!http_iequals(target.substr(0, kScheme.size()), kScheme)) return std::nullopt;
  const HttpTarget split = split_target("GET", target);
  if (!split.is_valid || !split.has_authority) return std::nullopt;
  HttpUrl found{.authority = split.authority, .host = split.authority, .path = split.path, .query = split.query};
  if (const std::size_t colon = found.host.rfind(':'); colon != std::string_view::npos && found.host.find(']', colon) == std::string_view::npos) {
    const std::string_view digits = found.host.substr(colon + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), found.port);
    if (error != std::errc() || end != digits.data() + digits.size() || found.port == 0) return std::nullopt;
    found.host = found.host.substr(0, colon);
  }
  if (found.host.starts_with('[')) found.host = found.host.substr(1, found.host.size() - 2);
  return found;
}

}  // namespace cooperative::http::internal
