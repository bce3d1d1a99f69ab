#pragma once

// Connections in one call.

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "cooperative/io/address.h"
#include "cooperative/io/socket.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {

struct ConnectOptions {
  std::optional<Address> from = std::nullopt;  // bound to that first
  bool no_delay = true;                        // TCP sends what it is given at once
  std::vector<Address> servers = {};           // of names: see ResolveOptions
};

// A stream socket that is connected. Throws IoError, which names the address; Timedout.
Socket connect(const Address& to, const mothreads::Until& until = {});
Socket connect(const Address& to, const ConnectOptions& options, const mothreads::Until& until = {});

// To the first of a host's addresses that answers, tried one after the other; one limit for all of it. Throws NotResolved, and what the
// last attempt threw. cothread's and pycos' create_connection().
Socket connect(std::string_view host, std::uint16_t port, const mothreads::Until& until = {});
Socket connect(std::string_view host, std::uint16_t port, const ConnectOptions& options, const mothreads::Until& until = {});

}  // namespace cooperative
