#pragma once

// Sockets that the process which started this one has made and passed on: socket activation, as systemd's .socket units do it
// (sd_listen_fds(3)), without a library.
//
//     auto passed = co::take_passed_sockets();                       // first in main()
//     auto server = passed.empty() ? co::serve_tcp(address, serve) : co::serve(std::move(passed.front().socket), serve);
//
// LISTEN_PID says to which process LISTEN_FDS descriptors were passed, from descriptor 3 on; LISTEN_FDNAMES has their names. The call takes
// all three out of the environment, also when they are meant for another process, and marks the descriptors close-on-exec, so that no child
// inherits either. For that reason it is called once, in main(), before there are threads that use the environment. A second call gives none.
//
// Does not block. Thread safety: see above; the sockets are used as any other.

#include <string>
#include <vector>

#include "cooperative/io/socket.h"

namespace cooperative::inline v0 {

struct PassedSocket {
  std::string name;  // FileDescriptorName= of the unit; "unknown" where none was passed
  Socket socket;     // listens already, unless the unit says Accept=yes: then it is a connection
};

// In the order in which they were passed; none when there are none for this process. Throws IoError, which names the descriptor, for one that
// is not open, or no socket; those before it are closed then. Numbers that are none are logged, and nothing is taken.
std::vector<PassedSocket> take_passed_sockets();

}  // namespace cooperative
