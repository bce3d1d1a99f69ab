#pragma once

// Where a socket is, or what it talks to: an IPv4 or IPv6 address with a port, or the path of a Unix socket.
//
//     Address("127.0.0.1", 8080)   Address("::1", 8080)   Address("fe80::1%eth0", 8080)
//     Address::any(8080)           Address::unix_path("/run/app.sock")            Address::abstract("app")
//
// A name of a host is no address yet: resolve.h finds its addresses.

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cooperative::inline v0 {

class Address {
 public:
  // None: what an unnamed Unix socket has.
  Address();
  // Of a numeric IP address; for IPv6 also in brackets, or with a scope ("%eth0", "%2"). Throws std::invalid_argument for anything else, which
  // names it.
  Address(std::string_view ip, std::uint16_t port);
  // As the system writes them.
  Address(const sockaddr* address, socklen_t size);

  // Nothing when it is no numeric IP address.
  static std::optional<Address> parse(std::string_view ip, std::uint16_t port);
  static Address any(std::uint16_t port) { return Address("0.0.0.0", port); }
  static Address any_ipv6(std::uint16_t port) { return Address("::", port); }
  static Address loopback(std::uint16_t port) { return Address("127.0.0.1", port); }
  // Throws std::invalid_argument when the path is empty, or too long for the system: 107 bytes.
  static Address unix_path(std::string_view path);
  // In Linux's namespace of names that are no files.
  static Address abstract(std::string_view name);

  int family() const { return storage_.any.sa_family; }
  bool is_ip() const { return family() == AF_INET || family() == AF_INET6; }
  bool is_unix() const { return family() == AF_UNIX; }
  std::uint16_t port() const;  // 0 where there is none
  std::string ip() const;      // of an IP address, without the port; else empty
  std::string path() const;    // of a Unix socket; an abstract one begins with '\0'
  bool is_multicast() const;
  // "127.0.0.1:80", "[::1]:80", "/run/app.sock", "@app", "unnamed".
  std::string to_string() const;

  const sockaddr* native() const { return &storage_.any; }
  socklen_t size() const { return size_; }

  friend bool operator==(const Address& a, const Address& b);
  friend std::strong_ordering operator<=>(const Address& a, const Address& b);

 private:
  friend class Socket;
  union Storage {
    sockaddr any;
    sockaddr_in v4;
    sockaddr_in6 v6;
    sockaddr_un local;
  };

  Storage storage_;
  socklen_t size_;
};

}  // namespace cooperative
