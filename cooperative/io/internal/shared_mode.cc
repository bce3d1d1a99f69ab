#include "cooperative/io/internal/shared_mode.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <new>

#include <fmt/core.h>

#include "cooperative/io/io_error.h"
#include "mothreads/internal/base/tiny_mutex.h"

namespace cooperative::inline v0::internal::io {

using mothreads::internal::TinyLock;
using mothreads::internal::TinyMutex;

namespace {

// Linux 6.10's F_DUPFD_QUERY.
constexpr int kAreSame = 1024 + 3;

constinit TinyMutex list_mutex;
constinit SharedMode* all = nullptr;  // of the process; guarded by the mutex
constinit mothreads::internal::ForkPart part{
    .prepare = []() ABSL_NO_THREAD_SAFETY_ANALYSIS noexcept { list_mutex.lock(); },
    .in_parent = []() ABSL_NO_THREAD_SAFETY_ANALYSIS noexcept { list_mutex.unlock(); },
    .in_child =
        []() noexcept {
          new (&list_mutex) TinyMutex;
          all = nullptr;
        },
};
[[maybe_unused]] const bool takes_part = (mothreads::internal::take_part_in_forks(part), true);

// Whether both are of one open(). Where the kernel does not say: of one file.
bool share_flags(int a, int b) {
  if (const int answer = fcntl(a, kAreSame, b); answer >= 0) return answer == 1;
  struct stat of_a {};
  struct stat of_b {};
  return fstat(a, &of_a) == 0 && fstat(b, &of_b) == 0 && of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
}

}  // namespace

SharedMode::SharedMode(int descriptor) : descriptor_(descriptor) {
  TinyLock lock(list_mutex);
  const int flags = fcntl(descriptor, F_GETFL);
  restores_ = flags >= 0 && (flags & O_NONBLOCK) == 0;
  if (flags < 0 || (restores_ && fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) != 0)) {
    throw IoError(errno, fmt::format("descriptor {}", descriptor), "make it non-blocking");
  }
  next_ = all;
  all = this;
}

SharedMode::~SharedMode() {
  if (born_.is_left_behind()) return;  // the parent is still at it, and gives it back
  TinyLock lock(list_mutex);
  SharedMode** place = &all;
  while (*place != this) place = &(*place)->next_;
  *place = next_;
  if (!restores_) return;
  for (SharedMode* other = all; other != nullptr; other = other->next_) {
    if (!share_flags(descriptor_, other->descriptor_)) continue;
    other->restores_ = true;
    return;
  }
  if (const int flags = fcntl(descriptor_, F_GETFL); flags >= 0) fcntl(descriptor_, F_SETFL, flags & ~O_NONBLOCK);
}

}  // namespace cooperative::internal::io
