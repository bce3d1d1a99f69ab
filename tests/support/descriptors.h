#pragma once

#include <poll.h>

namespace mothreads::inline v0::testing {

// Whether a read() of the descriptor, or an accept(), would not block.
inline bool is_readable(int descriptor) {
  pollfd watched{descriptor, POLLIN, 0};
  return ::poll(&watched, 1, 0) == 1;
}

}  // namespace mothreads::testing
