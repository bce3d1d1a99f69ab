#include "cooperative/io/listen.h"

namespace cooperative::inline v0 {

Socket listen(const Address& at, const ListenOptions& options) {
  Socket socket(at.family(), SOCK_STREAM);
  if (options.reuse_port) socket.set_reuse_port(true);
  socket.bind(at);
  socket.listen(options.backlog);
  return socket;
}

}  // namespace cooperative
