#pragma once

// Ports of the loopback interface for programs that tests start; ports.py has them for tests in Python.

namespace mothreads::inline v0::testing {

// Free for TCP and UDP a moment ago. Throws std::system_error when none is.
int free_port();

}  // namespace mothreads::testing
