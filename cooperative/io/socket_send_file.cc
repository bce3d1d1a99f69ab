#include <netinet/tcp.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "cooperative/io/file_pool.h"
#include "cooperative/io/internal/quiet_write.h"
#include "cooperative/io/internal/socket_waits.h"
#include "cooperative/io/socket.h"

// Files to sockets, by the kernel.

namespace cooperative::inline v0 {

using internal::io::would_block;
using mothreads::Limit;
using mothreads::Until;
using mothreads::Why;
using Side = Descriptor::Side;

namespace {

// From so much of a file on, full segments are worth two more calls of the system.
constexpr std::size_t kManySegments = 64 * 1024;
// Of a file, at a time: some 50 µs.
constexpr std::size_t kFilePart = 256 * 1024;

// sendfile() has no MSG_NOSIGNAL.
ssize_t send_file_quietly(int to, int file, off_t* offset, std::size_t size) {
  const internal::io::WithoutSignal quiet(SIGPIPE, EPIPE);
  return ::sendfile(to, file, offset, size);
}

// While it lives, TCP sends full segments only. Without it each call of the system ends with one that is not, which costs a fifth
// of a large file's time where the system paces what it sends, as BBR does. Nothing where the user has said so already.
class FullSegments {
 public:
  FullSegments(Socket& socket, bool is_wanted) {
    if (!is_wanted || !socket.is_open()) return;
    int is_on = 0;
    socklen_t size = sizeof is_on;
    if (::getsockopt(socket.native(), IPPROTO_TCP, TCP_CORK, &is_on, &size) != 0 || is_on != 0) return;
    socket_ = &socket;
    set(1);
  }
  FullSegments(const FullSegments&) = delete;
  FullSegments& operator=(const FullSegments&) = delete;
  ~FullSegments() { set(0); }
  void forget() { socket_ = nullptr; }

 private:
  void set(int on) const {
    // A failure is no error: all is sent as well.
    if (socket_ != nullptr && socket_->is_open()) ::setsockopt(socket_->native(), IPPROTO_TCP, TCP_CORK, &on, sizeof on);
  }
  Socket* socket_ = nullptr;
};

}  // namespace

std::size_t Socket::send_file(int file, off_t offset, std::size_t size, const Until& until) {
  const Limit limit = start(until);
  flush(limit);
  const Visit visit(*this);
  FullSegments full(*this, kind_ == Kind::tcp && size >= kManySegments);
  const absl::Cleanup forget = [&] {
    if (visit.is_stream_gone()) full.forget();
  };
  return send_file_parts(visit, file, offset, size, limit);
}

std::size_t Socket::send_file_parts(const Visit& visit, int file, off_t offset, std::size_t size, Limit limit) {
  std::size_t sent = 0;
  std::size_t fetched = 0;
  int failure = 0;
  while (sent < size) {
    if (sent >= fetched) {
      fetched = sent + std::min(size - sent, kFilePart);
      const Why why = bring_into_memory(file, static_cast<std::uint64_t>(offset), fetched - sent, limit);
      visit.check();
      if (why != Why::ready) {
        throw WriteTimedout(name(), why, sent, size, "bytes of a file were written");
      }
      check_open("send a file");
    }
    const auto [done, why] = until_done(Side::write, "send a file", limit, [&]() -> ssize_t {
      const ssize_t result = send_file_quietly(native(), file, &offset, fetched - sent);
      // These may be about the file.
      if (result < 0 && !would_block(errno) && errno != EINTR && errno != EPIPE && errno != ECONNRESET) {
        failure = errno;
        return 0;
      }
      return result;
    });
    if (failure == EINVAL || failure == ENOSYS) return sent + Stream::send_file(file, offset, size - sent, limit);
    if (failure != 0) fail(failure, "send a file");
    if (done < 0) throw WriteTimedout(name(), why, sent, size, "bytes of a file were written");
    if (done == 0) break;
    sent += static_cast<std::size_t>(done);
  }
  return sent;
}

}  // namespace cooperative
