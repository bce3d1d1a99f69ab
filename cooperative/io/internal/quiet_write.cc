#include "cooperative/io/internal/quiet_write.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>

#include <cerrno>
#include <ctime>

namespace cooperative::inline v0::internal::io {
namespace {

// Linux 6.18's; Debian 12's headers are older.
constexpr int kNoSignal = 0x100;

}  // namespace

WithoutSignal::WithoutSignal(int number, int error) noexcept : error_(error) {
  sigemptyset(&signal_);
  sigaddset(&signal_, number);
  sigset_t pending;
  sigpending(&pending);
  was_pending_ = sigismember(&pending, number) == 1;
  pthread_sigmask(SIG_BLOCK, &signal_, &before_);
  errno = 0;
}

WithoutSignal::~WithoutSignal() {
  const int saved = errno;
  // One that was pending before is somebody else's.
  if (saved == error_ && !was_pending_) {
    const timespec at_once{};
    while (sigtimedwait(&signal_, nullptr, &at_once) < 0 && errno == EINTR) {
    }
  }
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  errno = saved;
}

ssize_t QuietWriter::write(int descriptor, const iovec* pieces, int count) noexcept {
  if (kernel_knows_) {
    const ssize_t written = pwritev2(descriptor, pieces, count, -1, kNoSignal);
    if (written >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS)) return written;
    kernel_knows_ = false;
  }
  const WithoutSignal quiet(SIGPIPE, EPIPE);
  return writev(descriptor, pieces, count);
}

ssize_t QuietWriter::splice_into(int pipe, int from, std::size_t size) noexcept {
  const WithoutSignal quiet(SIGPIPE, EPIPE);
  return splice(from, nullptr, pipe, nullptr, size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}

}  // namespace cooperative::internal::io
