#pragma once

// A descriptor that poll() finds readable while something is ready. Not thread-safe.

#include "mothreads/internal/base/fork.h"

namespace cooperative::inline v0::internal {

class ReadyDescriptor {
 public:
  ReadyDescriptor() = default;
  ReadyDescriptor(const ReadyDescriptor&) = delete;
  ReadyDescriptor& operator=(const ReadyDescriptor&) = delete;
  ~ReadyDescriptor();

  // Made at the first call. Throws std::system_error when the process has no more, mothreads::Misuse in a testing::World.
  int get(bool is_ready);

  // Nothing while there is none.
  void set(bool is_ready) noexcept {
    if (descriptor_ >= 0 && is_ready != is_ready_) change(is_ready);
  }

 private:
  void change(bool is_ready) noexcept;

  mothreads::internal::Born born_;
  int descriptor_ = -1;
  bool is_ready_ = false;
};

}  // namespace cooperative::internal
