#pragma once

// The addresses of a host's name.
//
// Only the fiber that asks waits. Names are found as c-ares finds them: /etc/hosts, and the servers of /etc/resolv.conf; no other
// source of nsswitch.conf. "localhost" and all names below it are this machine (RFC 6761, 6.3): no file and no server is asked about them.
//
// What is a numeric address, Address::parse() alone decides. Other text of numbers and dots ("127.1", "0177.0.0.1", where other programs read an
// octal number), text with a ':' and text with a zero byte is no name either: nobody is asked about it.

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "cooperative/io/address.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {

// A name has no address, or no server said one. The message names it, and the reason.
class NotResolved : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct ResolveOptions {
  int family = AF_UNSPEC;             // AF_INET or AF_INET6 for addresses of that kind alone
  std::vector<Address> servers = {};  // asked in this order, instead of those of /etc/resolv.conf; port 0 for the usual one
};

// In the order in which to try them (RFC 6724), at least one. A numeric address is its own, at once. Throws NotResolved, Timedout;
// std::invalid_argument for a server that has no IP address.
std::vector<Address> resolve(std::string_view host, std::uint16_t port, const mothreads::Until& until = {});
std::vector<Address> resolve(std::string_view host, std::uint16_t port, const ResolveOptions& options, const mothreads::Until& until = {});

}  // namespace cooperative
