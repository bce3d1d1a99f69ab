#include "cooperative/io/address.h"

#include <arpa/inet.h>
#include <net/if.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <stdexcept>

#include <fmt/core.h>

#include "mothreads/internal/base/printable.h"

namespace cooperative::inline v0 {

using mothreads::internal::printable;

namespace {

std::optional<std::uint32_t> scope_of(const std::string& scope) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(scope.data(), scope.data() + scope.size(), number);
  if (error == std::errc() && end == scope.data() + scope.size()) return number;
  number = if_nametoindex(scope.c_str());
  if (number == 0) return std::nullopt;
  return number;
}

}  // namespace

Address::Address() : storage_{}, size_(sizeof(sa_family_t)) {
  std::memset(&storage_, 0, sizeof storage_);
  storage_.any.sa_family = AF_UNSPEC;
}

Address::Address(const sockaddr* address, socklen_t size) : Address() {
  size_ = std::min<socklen_t>(size, sizeof storage_.local);  // the longest that there is
  if (size_ < sizeof(sa_family_t)) {
    size_ = sizeof(sa_family_t);
    return;
  }
  std::memcpy(&storage_, address, size_);
  // Its maker may have left anything in the padding, and addresses are compared.
  if (family() == AF_INET) std::memset(storage_.v4.sin_zero, 0, sizeof storage_.v4.sin_zero);
}

std::optional<Address> Address::parse(std::string_view ip, std::uint16_t port) {
  if (ip.find('\0') != std::string_view::npos) return std::nullopt;
  const bool in_brackets = ip.size() >= 2 && ip.front() == '[' && ip.back() == ']';
  if (in_brackets) ip = ip.substr(1, ip.size() - 2);
  Address parsed;
  const std::string text(ip);
  if (!in_brackets && inet_pton(AF_INET, text.c_str(), &parsed.storage_.v4.sin_addr) == 1) {
    parsed.storage_.v4.sin_family = AF_INET;
    parsed.storage_.v4.sin_port = htons(port);
    parsed.size_ = sizeof(sockaddr_in);
    return parsed;
  }
  const std::size_t percent = text.find('%');
  if (inet_pton(AF_INET6, text.substr(0, percent).c_str(), &parsed.storage_.v6.sin6_addr) != 1) return std::nullopt;
  if (percent != std::string::npos) {
    const std::optional<std::uint32_t> scope = scope_of(text.substr(percent + 1));
    if (!scope) return std::nullopt;
    parsed.storage_.v6.sin6_scope_id = *scope;
  }
  parsed.storage_.v6.sin6_family = AF_INET6;
  parsed.storage_.v6.sin6_port = htons(port);
  parsed.size_ = sizeof(sockaddr_in6);
  return parsed;
}

Address::Address(std::string_view ip, std::uint16_t port) : Address() {
  const std::optional<Address> parsed = parse(ip, port);
  if (!parsed) {
    throw std::invalid_argument(fmt::format("\"{}\" is no numeric IP address: give resolve() or connect() the names of hosts", printable(ip)));
  }
  *this = *parsed;
}

Address Address::unix_path(std::string_view path) {
  Address address;
  sockaddr_un& local = address.storage_.local;
  if (path.empty() || path.size() >= sizeof local.sun_path || path.find('\0') != std::string_view::npos) {
    throw std::invalid_argument(fmt::format("\"{}\" cannot be the path of a Unix socket: it must have 1 to {} bytes, none of them zero", printable(path),
                                            sizeof local.sun_path - 1));
  }
  local.sun_family = AF_UNIX;
  std::memcpy(local.sun_path, path.data(), path.size());
  address.size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return address;
}

Address Address::abstract(std::string_view name) {
  Address address;
  sockaddr_un& local = address.storage_.local;
  if (name.size() >= sizeof local.sun_path) {
    throw std::invalid_argument(fmt::format("\"{}\" cannot be the abstract name of a Unix socket: it has more than {} bytes", printable(name),
                                            sizeof local.sun_path - 1));
  }
  local.sun_family = AF_UNIX;
  std::memcpy(local.sun_path + 1, name.data(), name.size());
  address.size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return address;
}

std::uint16_t Address::port() const {
  if (family() == AF_INET) return ntohs(storage_.v4.sin_port);
  if (family() == AF_INET6) return ntohs(storage_.v6.sin6_port);
  return 0;
}

std::string Address::ip() const {
  char text[INET6_ADDRSTRLEN];
  if (family() == AF_INET) return inet_ntop(AF_INET, &storage_.v4.sin_addr, text, sizeof text);
  if (family() != AF_INET6) return {};
  std::string ip = inet_ntop(AF_INET6, &storage_.v6.sin6_addr, text, sizeof text);
  if (const std::uint32_t scope = storage_.v6.sin6_scope_id; scope != 0) {
    char name[IF_NAMESIZE];
    ip += '%';
    ip += if_indextoname(scope, name) != nullptr ? std::string(name) : std::to_string(scope);
  }
  return ip;
}

std::string Address::path() const {
  constexpr std::size_t kBefore = offsetof(sockaddr_un, sun_path);
  if (!is_unix() || size_ <= kBefore) return {};
  const std::string_view path(storage_.local.sun_path, size_ - kBefore);
  return std::string(path.front() == '\0' ? path : path.substr(0, path.find('\0')));
}

bool Address::is_multicast() const {
  if (family() == AF_INET) return IN_MULTICAST(ntohl(storage_.v4.sin_addr.s_addr));
  return family() == AF_INET6 && IN6_IS_ADDR_MULTICAST(&storage_.v6.sin6_addr);
}

std::string Address::to_string() const {
  if (family() == AF_INET) return fmt::format("{}:{}", ip(), port());
  if (family() == AF_INET6) return fmt::format("[{}]:{}", ip(), port());
  const std::string path_or_name = path();
  if (path_or_name.empty()) return "unnamed";
  return path_or_name.front() == '\0' ? "@" + path_or_name.substr(1) : path_or_name;
}

bool operator==(const Address& a, const Address& b) { return (a <=> b) == 0; }

std::strong_ordering operator<=>(const Address& a, const Address& b) {
  if (a.size_ != b.size_) return a.size_ <=> b.size_;
  return std::memcmp(&a.storage_, &b.storage_, a.size_) <=> 0;
}

}  // namespace cooperative
