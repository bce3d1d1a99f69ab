#include "cooperative/io/resolve.h"

#include <ares.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>

#include <fmt/core.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/io/internal/c_string.h"
#include "cooperative/io/poll.h"
#include "mothreads/internal/base/made_once.h"
#include "mothreads/internal/base/printable.h"

namespace cooperative::inline v0 {

using mothreads::Until;
using mothreads::Why;
using mothreads::internal::printable;

namespace {

// Refuses text that c-ares, or a server of names, would take for more than Address::parse() does: "0177.0.0.1", "127.1", "::1%nowhere", "host:80".
void check_name(std::string_view host) {
  const char* wrong = nullptr;
  if (internal::io::has_zero(host)) wrong = "it has a zero byte";
  if (host.find(':') != std::string_view::npos) wrong = "it has a ':', and is no IPv6 address";
  if (host.find_first_not_of("0123456789.") == std::string_view::npos && host.find_first_of('.') != std::string_view::npos) {
    wrong = "it has numbers alone, and is no IPv4 address";
  }
  if (wrong != nullptr) throw NotResolved(fmt::format("\"{}\" is no name of a host: {}", printable(host), wrong));
}

// "localhost" and the names below it: RFC 6761, 6.3.
bool is_localhost(std::string_view host) {
  constexpr std::string_view kName = "localhost";
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.size() > kName.size() && host[host.size() - kName.size() - 1] != '.') return false;
  const auto is_same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b; };
  return host.size() >= kName.size() && std::equal(host.end() - kName.size(), host.end(), kName.begin(), is_same);
}

// Of this machine as a whole: a kernel without IPv6, or an interface that has it turned off, has no way to "::1".
bool has_ipv6_loopback() {
  const Address loopback("::1", 9);
  const int probe = ::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (probe < 0) return false;
  const bool has = ::connect(probe, loopback.native(), loopback.size()) == 0;  // sends nothing
  ::close(probe);
  return has;
}

std::vector<Address> loopbacks(int family, std::uint16_t port) {
  std::vector<Address> all;
  if (family == AF_INET6 || (family == AF_UNSPEC && has_ipv6_loopback())) all.emplace_back("::1", port);
  if (family != AF_INET6) all.push_back(Address::loopback(port));
  return all;
}

struct CloseChannel {
  void operator()(ares_channel channel) const { ares_destroy(channel); }
};
using Channel = std::unique_ptr<ares_channeldata, CloseChannel>;

// ares_library_init() is not thread-safe; for the rest of the process.
void init_library() {
  static constinit mothreads::internal::MadeOnce<const int> initialised;
  const int status = initialised.get([] { return new const int(ares_library_init(ARES_LIB_INIT_ALL)); });
  if (status != ARES_SUCCESS) throw NotResolved(fmt::format("names of hosts cannot be resolved: {}", ares_strerror(status)));
}

Channel make_channel() {
  init_library();
  ares_channel channel = nullptr;
  if (const int status = ares_init(&channel); status != ARES_SUCCESS) {
    throw NotResolved(fmt::format("names of hosts cannot be resolved: {}", ares_strerror(status)));
  }
  return Channel(channel);
}

void set_servers(ares_channel channel, const std::vector<Address>& servers) {
  std::vector<ares_addr_port_node> nodes;
  for (const Address& server : servers) {
    if (!server.is_ip()) throw std::invalid_argument(fmt::format("{} cannot be a server of names: it is no IP address", server.to_string()));
    ares_addr_port_node node{};
    node.family = server.family();
    if (server.family() == AF_INET) {
      node.addr.addr4 = reinterpret_cast<const sockaddr_in*>(server.native())->sin_addr;
    } else {
      std::memcpy(&node.addr.addr6, &reinterpret_cast<const sockaddr_in6*>(server.native())->sin6_addr, sizeof node.addr.addr6);
    }
    node.udp_port = node.tcp_port = server.port();
    nodes.push_back(node);
  }
  for (std::size_t i = 0; i + 1 < nodes.size(); ++i) nodes[i].next = &nodes[i + 1];
  if (const int status = ares_set_servers_ports(channel, nodes.data()); status != ARES_SUCCESS) {
    throw NotResolved(fmt::format("the servers of names cannot be asked: {}", ares_strerror(status)));
  }
}

// The callback leaves its answer here.
struct Answer {
  bool has_come = false;
  int status = ARES_SUCCESS;
  std::vector<Address> addresses;

  static void come(void* self, int status, int, ares_addrinfo* info) {
    auto& answer = *static_cast<Answer*>(self);
    answer.has_come = true;
    answer.status = status;
    if (info == nullptr) return;
    for (const ares_addrinfo_node* node = info->nodes; node != nullptr; node = node->ai_next) {
      answer.addresses.emplace_back(node->ai_addr, node->ai_addrlen);
    }
    ares_freeaddrinfo(info);
  }
};

// One step: waits for what c-ares waits for, and lets it go on.
void step(ares_channel channel, mothreads::Limit limit) {
  ares_socket_t sockets[ARES_GETSOCK_MAXNUM];
  const int wanted = ares_getsock(channel, sockets, ARES_GETSOCK_MAXNUM);
  std::vector<PollItem> items;
  for (int i = 0; i < ARES_GETSOCK_MAXNUM; ++i) {
    Ready ready{};
    if (ARES_GETSOCK_READABLE(wanted, i)) ready |= Ready::in;
    if (ARES_GETSOCK_WRITABLE(wanted, i)) ready |= Ready::out;
    if (ready != Ready{}) items.push_back({sockets[i], ready});
  }
  timeval room{};
  const timeval* const next = ares_timeout(channel, nullptr, &room);
  const absl::Duration pause = next == nullptr ? absl::Seconds(1) : absl::DurationFromTimeval(*next);
  const std::vector<PollItem> come = poll_list(items, limit | pause);
  if (come.empty()) ares_process_fd(channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  for (const PollItem& item : come) {
    const bool ended = any(item.ready & (Ready::err | Ready::hup | Ready::nval));
    ares_process_fd(channel, any(item.ready & Ready::in) || ended ? item.descriptor : ARES_SOCKET_BAD,
                    any(item.ready & Ready::out) || ended ? item.descriptor : ARES_SOCKET_BAD);
  }
}

}  // namespace

std::vector<Address> resolve(std::string_view host, std::uint16_t port, const Until& until) { return resolve(host, port, {}, until); }

std::vector<Address> resolve(std::string_view host, std::uint16_t port, const ResolveOptions& options, const Until& until) {
  if (const std::optional<Address> numeric = Address::parse(host, port)) {
    if (options.family != AF_UNSPEC && options.family != numeric->family()) {
      throw NotResolved(fmt::format("\"{}\" is an address of another family than was asked for", host));
    }
    return {*numeric};
  }
  check_name(host);
  if (is_localhost(host)) return loopbacks(options.family, port);
  const mothreads::Limit limit(until);
  const std::string name(host);
  const std::string service = std::to_string(port);
  Answer answer;  // outlives the channel, which calls back when it goes
  const Channel channel = make_channel();
  if (!options.servers.empty()) set_servers(channel.get(), options.servers);
  ares_addrinfo_hints hints{};
  hints.ai_flags = ARES_AI_NUMERICSERV;
  hints.ai_family = options.family;
  hints.ai_socktype = SOCK_STREAM;
  ares_getaddrinfo(channel.get(), name.c_str(), service.c_str(), &hints, &Answer::come, &answer);
  while (!answer.has_come) {
    if (const std::optional<Why> why = limit.has_come()) {
      mothreads::throw_ended_early(*why, host, fmt::format("the addresses of \"{}\" were not known in time", host));
    }
    step(channel.get(), limit);
  }
  if (answer.status != ARES_SUCCESS) throw NotResolved(fmt::format("\"{}\" has no known address: {}", host, ares_strerror(answer.status)));
  if (answer.addresses.empty()) throw NotResolved(fmt::format("\"{}\" has no address of the family that was asked for", host));
  return answer.addresses;
}

}  // namespace cooperative
