#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <stdexcept>

#include <fmt/core.h>

#include "cooperative/io/internal/c_string.h"
#include "cooperative/io/socket.h"

// The kinds of sockets, and their options.

namespace cooperative::inline v0 {

namespace {

Address address_by(int (*get)(int, sockaddr*, socklen_t*), int descriptor, const char* verb) {
  sockaddr_storage storage;
  socklen_t size = sizeof storage;
  if (get(descriptor, reinterpret_cast<sockaddr*>(&storage), &size) != 0) throw IoError(errno, fmt::format("socket {}", descriptor), verb);
  return {reinterpret_cast<const sockaddr*>(&storage), size};
}

// 0 for the one that the system chooses.
int index_of(const std::string& interface) {
  if (interface.empty()) return 0;
  internal::io::check_c_string(interface, fmt::format("network interface \"{}\"", interface), "find it");
  const unsigned index = if_nametoindex(interface.c_str());
  if (index == 0) throw IoError(errno, fmt::format("network interface \"{}\"", interface), "find it");
  return static_cast<int>(index);
}

}  // namespace

Address Socket::local_address() const {
  check_open("say its address");
  return address_by(getsockname, native(), "say its address");
}

Address Socket::peer_address() const {
  check_open("say its peer's address");
  return address_by(getpeername, native(), "say its peer's address");
}

int Socket::family() const { return option(SOL_SOCKET, SO_DOMAIN); }
int Socket::type() const { return option(SOL_SOCKET, SO_TYPE); }

std::size_t Socket::readable_bytes() const {
  check_open("count what it holds");
  int bytes = 0;
  if (ioctl(native(), FIONREAD, &bytes) != 0) fail(errno, "count what it holds");
  return static_cast<std::size_t>(bytes);
}

void Socket::set_option(int level, int option, std::string_view bytes) {
  check_open("set an option");
  if (setsockopt(native(), level, option, bytes.data(), static_cast<socklen_t>(bytes.size())) != 0) {
    fail(errno, fmt::format("set option {} of level {}", option, level).c_str());
  }
}

void Socket::set_option(int level, int option, int value) {
  set_option(level, option, std::string_view(reinterpret_cast<const char*>(&value), sizeof value));
}

int Socket::option(int level, int option) const {
  check_open("get an option");
  int value = 0;
  socklen_t size = sizeof value;
  if (getsockopt(native(), level, option, &value, &size) != 0) fail(errno, fmt::format("get option {} of level {}", option, level).c_str());
  return value;
}

void Socket::set_no_delay(bool on) { set_option(IPPROTO_TCP, TCP_NODELAY, on ? 1 : 0); }
void Socket::set_keep_alive(bool on) { set_option(SOL_SOCKET, SO_KEEPALIVE, on ? 1 : 0); }
void Socket::set_reuse_address(bool on) { set_option(SOL_SOCKET, SO_REUSEADDR, on ? 1 : 0); }
void Socket::set_reuse_port(bool on) { set_option(SOL_SOCKET, SO_REUSEPORT, on ? 1 : 0); }
void Socket::set_broadcast(bool on) { set_option(SOL_SOCKET, SO_BROADCAST, on ? 1 : 0); }
void Socket::set_only_ipv6(bool on) { set_option(IPPROTO_IPV6, IPV6_V6ONLY, on ? 1 : 0); }
void Socket::set_send_buffer(int bytes) { set_option(SOL_SOCKET, SO_SNDBUF, bytes); }
void Socket::set_receive_buffer(int bytes) { set_option(SOL_SOCKET, SO_RCVBUF, bytes); }

void Socket::set_linger(std::optional<absl::Duration> how_long) {
  struct linger value {};
  if (how_long) {
    value.l_onoff = 1;
    const std::int64_t seconds = absl::ToInt64Seconds(absl::Ceil(*how_long, absl::Seconds(1)));
    value.l_linger = static_cast<int>(std::clamp<std::int64_t>(seconds, 0, std::numeric_limits<int>::max()));
  }
  set_option(SOL_SOCKET, SO_LINGER, std::string_view(reinterpret_cast<const char*>(&value), sizeof value));
}

void Socket::abort() {
  try {
    if (is_open()) set_linger(absl::ZeroDuration());
  } catch (const IoError&) {
    // The socket has failed already, and the other side sees that.
  }
  close();
}

// --- multicast ---------------------------------------------------------------------------------------------------------------

void Socket::change_group(bool join, const Address& group, const std::string& interface) {
  if (!group.is_multicast()) throw std::invalid_argument(fmt::format("{} is no multicast address", group.to_string()));
  group_req request{};
  request.gr_interface = static_cast<std::uint32_t>(index_of(interface));
  std::memcpy(&request.gr_group, group.native(), group.size());
  const int level = group.family() == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
  set_option(level, join ? MCAST_JOIN_GROUP : MCAST_LEAVE_GROUP, std::string_view(reinterpret_cast<const char*>(&request), sizeof request));
}

void Socket::join_group(const Address& group, const std::string& interface) { change_group(true, group, interface); }
void Socket::leave_group(const Address& group, const std::string& interface) { change_group(false, group, interface); }

void Socket::set_multicast_interface(const std::string& interface) {
  const int index = index_of(interface);
  if (family() == AF_INET6) return set_option(IPPROTO_IPV6, IPV6_MULTICAST_IF, index);
  ip_mreqn request{};
  request.imr_ifindex = index;
  set_option(IPPROTO_IP, IP_MULTICAST_IF, std::string_view(reinterpret_cast<const char*>(&request), sizeof request));
}

void Socket::set_multicast_hops(int hops) {
  if (family() == AF_INET6) return set_option(IPPROTO_IPV6, IPV6_MULTICAST_HOPS, hops);
  set_option(IPPROTO_IP, IP_MULTICAST_TTL, hops);
}

void Socket::set_multicast_loop(bool on) {
  if (family() == AF_INET6) return set_option(IPPROTO_IPV6, IPV6_MULTICAST_LOOP, on ? 1 : 0);
  set_option(IPPROTO_IP, IP_MULTICAST_LOOP, on ? 1 : 0);
}

}  // namespace cooperative
