#pragma once

// A write that raises no SIGPIPE when nobody reads any more: EPIPE says it.

#include <signal.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>

namespace cooperative::inline v0::internal::io {

// While one is alive the signal does not reach this thread. One that came meanwhile, with an error that says the same (SIGPIPE with EPIPE), is
// taken away at the end.
class WithoutSignal {
 public:
  WithoutSignal(int number, int error) noexcept;
  ~WithoutSignal();
  WithoutSignal(const WithoutSignal&) = delete;
  WithoutSignal& operator=(const WithoutSignal&) = delete;

 private:
  const int error_;
  sigset_t signal_;
  sigset_t before_;
  bool was_pending_ = false;
};

// For one descriptor. The kernel is asked not to raise it (Linux 6.18); where it does not know how, the signal is blocked on this thread
// around the write, and taken away when it came.
class QuietWriter {
 public:
  QuietWriter() = default;
  // For tests: as on an older kernel.
  explicit QuietWriter(bool kernel_knows) : kernel_knows_(kernel_knows) {}

  // As writev(2).
  ssize_t write(int descriptor, const iovec* pieces, int count) noexcept;

  // As splice(2) into a pipe, from where `from` stands.
  static ssize_t splice_into(int pipe, int from, std::size_t size) noexcept;

 private:
  bool kernel_knows_ = true;
};

}  // namespace cooperative::internal::io
