#pragma once

// Reads from disks that need no thread: io_uring, one for each scheduler whose kernel lets it have one. What that is worth: docs/decisions/0008.

#include <sys/types.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "cooperative/internal/scheduler/poller.h"
#include "mothreads/internal/wait/wait.h"

namespace cooperative::inline v0::internal::io {

// On its scheduler's thread.
class FileRing final : public ReadinessWatcher {
 public:
  // So many reads at a time; who comes when there are as many goes another way.
  static constexpr unsigned kMaxReads = 256;

  // Null where there is none: in a container that forbids it, or for want of memory.
  static std::unique_ptr<FileRing> make(SchedulerCore& core);
  ~FileRing();
  FileRing(const FileRing&) = delete;
  FileRing& operator=(const FileRing&) = delete;

  // As preadv(2), but with a negative error in place of errno. The kernel has the memory until it is done: nothing ends the wait before, and a
  // fiber that was cancelled meanwhile is unwound then.
  // -EAGAIN when it must be done in another way.
  ssize_t read(int descriptor, const iovec* pieces, int count, std::uint64_t offset);

 private:
  struct Native;
  struct Read;

  FileRing(SchedulerCore& core, std::unique_ptr<Native> native);
  void await(Read& read);
  bool submit() noexcept;
  void arrived() noexcept override;

  SchedulerCore& core_;
  const std::unique_ptr<Native> native_;
  unsigned under_way_ = 0;
};

// The running scheduler's. Null where there is none.
FileRing* file_ring();

// For tests: from then on the calling thread's scheduler does without.
void do_without_file_ring();

}  // namespace cooperative::internal::io
