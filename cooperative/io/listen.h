#pragma once

// A listening socket in one call. serve() and serve_http() call it themselves.

#include <sys/socket.h>

#include "cooperative/io/address.h"
#include "cooperative/io/socket.h"

namespace cooperative::inline v0 {

struct ListenOptions {
  int backlog = SOMAXCONN;   // connections that wait for accept(); the system may have a lower limit
  bool reuse_port = false;   // several sockets on one address share its connections: one for each scheduler
};

// A stream socket that listens. Throws IoError, which names the address. A Unix socket's path must not exist.
Socket listen(const Address& at, const ListenOptions& options = {});

}  // namespace cooperative
