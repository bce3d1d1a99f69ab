#pragma once

// O_NONBLOCK of a descriptor that others may have, too: a terminal or a pipe that was inherited. The flag belongs to what was opened, not
// to the descriptor, so that it shows in a parent, in a shell, and in whatever else has it.

#include "mothreads/internal/base/fork.h"

namespace cooperative::inline v0::internal::io {

class SharedMode {
 public:
  // Sets it. Throws IoError when there is no such descriptor.
  explicit SharedMode(int descriptor);
  // Before the descriptor is closed: it becomes again as it was, unless another one of this process is still at the same opened thing
  // (standard output and standard error often are); then that will do it.
  ~SharedMode();
  SharedMode(const SharedMode&) = delete;
  SharedMode& operator=(const SharedMode&) = delete;

 private:
  const mothreads::internal::Born born_;
  const int descriptor_;
  bool restores_ = false;  // guarded by the mutex of the list
  SharedMode* next_ = nullptr;  // likewise
};

}  // namespace cooperative::internal::io
