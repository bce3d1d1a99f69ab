#include "tests/support/ports.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

namespace mothreads::inline v0::testing {

int free_port() {
  for (int attempt = 0; attempt < 100; ++attempt) {
    std::array<int, 2> sockets{socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    const auto* const where = reinterpret_cast<const sockaddr*>(&address);
    bool is_free = bind(sockets[0], where, size) == 0;
    is_free = is_free && getsockname(sockets[0], reinterpret_cast<sockaddr*>(&address), &size) == 0;
    is_free = is_free && bind(sockets[1], where, size) == 0;
    for (const int one : sockets) close(one);
    if (is_free) return ntohs(address.sin_port);
  }
  throw std::system_error(errno, std::generic_category(), "no port of loopback is free");
}

}  // namespace mothreads::testing
