#include "cooperative/io/connect.h"

#include <exception>
#include <vector>

#include "cooperative/io/resolve.h"

namespace cooperative::inline v0 {

using mothreads::Until;

Socket connect(const Address& to, const Until& until) { return connect(to, ConnectOptions{}, until); }

Socket connect(const Address& to, const ConnectOptions& options, const Until& until) {
  Socket socket(to.family(), SOCK_STREAM);
  if (options.from) socket.bind(*options.from);
  socket.connect(to, until);
  if (options.no_delay && to.is_ip()) socket.set_no_delay(true);
  return socket;
}

Socket connect(std::string_view host, std::uint16_t port, const Until& until) { return connect(host, port, ConnectOptions{}, until); }

Socket connect(std::string_view host, std::uint16_t port, const ConnectOptions& options, const Until& until) {
  const mothreads::Limit limit(until);
  const std::vector<Address> addresses =
      resolve(host, port, {.family = options.from ? options.from->family() : AF_UNSPEC, .servers = options.servers}, limit);
  for (std::size_t i = 0;; ++i) {
    try {
      return connect(addresses[i], options, limit);
    } catch (const IoError&) {
      if (i + 1 == addresses.size()) throw;
    }
  }
}

}  // namespace cooperative
