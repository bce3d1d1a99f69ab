#include "cooperative/io/pipe.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <utility>

#include <fmt/core.h>

#include "absl/container/inlined_vector.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0 {

using mothreads::Limit;
using mothreads::Misuse;
using mothreads::Why;
using Side = Descriptor::Side;

namespace {

bool is_fifo(int descriptor) {
  struct stat status {};
  return fstat(descriptor, &status) == 0 && S_ISFIFO(status.st_mode);
}

// The side of a pseudo-terminal that sees what programs write.
bool is_terminal_master(int descriptor) {
  unsigned number = 0;
  return ioctl(descriptor, TIOCGPTN, &number) == 0;
}

// The end of a pseudo-terminal, which nobody has open any more, is EIO in Linux.
ssize_t read_from(int descriptor, std::span<std::byte> into) {
  const ssize_t size = ::read(descriptor, into.data(), into.size());
  if (size >= 0 || errno != EIO) return size;
  if (is_terminal_master(descriptor)) return 0;
  errno = EIO;
  return -1;
}

Pipe adopt_copy(int descriptor, const char* name) {
  const int copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) throw IoError(errno, name, "use it");
  try {
    return Pipe::adopt(copy);
  } catch (...) {
    ::close(copy);
    throw;
  }
}

}  // namespace

Pipe Pipe::adopt(int descriptor) {
  auto mode = std::make_unique<internal::io::SharedMode>(descriptor);
  Pipe pipe(Descriptor(descriptor, Descriptor::NonBlocking{}), is_fifo(descriptor));
  pipe.mode_ = std::move(mode);
  return pipe;
}

Pipe Pipe::standard_input() { return adopt_copy(STDIN_FILENO, "standard input"); }
Pipe Pipe::standard_output() { return adopt_copy(STDOUT_FILENO, "standard output"); }
Pipe Pipe::standard_error() { return adopt_copy(STDERR_FILENO, "standard error"); }

PipeEnds make_pipe() {
  int ends[2];
  if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) throw IoError(errno, "a pipe", "make one");
  Descriptor reader(ends[0], Descriptor::NonBlocking{});
  Descriptor writer(ends[1], Descriptor::NonBlocking{});
  return {Pipe(std::move(reader), true), Pipe(std::move(writer), true)};
}

void Pipe::end_writing(Limit) {
  descriptor_.check_open({"a pipe", [this] { return name(); }, "shut it down"});
  switch (access()) {
    case O_RDONLY: return;
    case O_WRONLY: return close();
    default: throw Misuse(name() + " is read and written through one descriptor, and cannot end the one without the other: close() it");
  }
}

void Pipe::close() {
  if (!is_open()) return;
  descriptor_.check_thread("a pipe");
  mode_.reset();
  descriptor_.close();
}

int Pipe::release() {
  if (!is_open()) return -1;
  descriptor_.check_thread("a pipe");
  if (!buffered().empty()) {
    throw Misuse(fmt::format("{}: release() would lose {} bytes that reading has taken already: consume() them first", name(), buffered().size()));
  }
  if (mode_ != nullptr) {
    mode_.reset();
  } else if (const int flags = fcntl(native(), F_GETFL); flags >= 0 && !born_.is_left_behind()) {
    fcntl(native(), F_SETFL, flags & ~O_NONBLOCK);
  }
  return descriptor_.release();
}

int Pipe::access() const { return fcntl(native(), F_GETFL) & O_ACCMODE; }
bool Pipe::is_reader() const { return is_open() && access() != O_WRONLY; }
bool Pipe::is_writer() const { return is_open() && access() != O_RDONLY; }

std::string Pipe::name() const {
  if (!is_open()) return "a closed pipe";
  const char* const kind = isatty(native()) != 0 ? "terminal" : is_fifo_ ? "pipe" : "stream";
  const int mode = access();
  return fmt::format("{} {}{}", kind, native(), mode == O_RDONLY ? " (to read)" : mode == O_WRONLY ? " (to write)" : "");
}

Received Pipe::receive(std::span<std::byte> into, Limit limit) {
  const auto its_name = [this] { return name(); };
  const auto [size, why] = descriptor_.until_done(Side::read, {"a pipe", its_name, "read from it"}, limit,
                                                  [&] { return read_from(native(), into); });
  if (size < 0) return {0, why};
  if (size == 0) return {0, Why::closed};
  if (is_fifo_ && static_cast<std::size_t>(size) < into.size()) descriptor_.readiness().clear_after_short_read();
  return {static_cast<std::size_t>(size), Why::ready};
}

Sent Pipe::send_pieces(std::span<const std::string_view> pieces, Limit limit) {
  absl::InlinedVector<iovec, 8> places;
  for (const std::string_view piece : pieces.first(std::min<std::size_t>(pieces.size(), IOV_MAX))) {
    places.push_back({const_cast<char*>(piece.data()), piece.size()});
  }
  const auto its_name = [this] { return name(); };
  const auto [size, why] = descriptor_.until_done(Side::write, {"a pipe", its_name, "write to it"}, limit,
                                                  [&] { return writer_.write(native(), places.data(), static_cast<int>(places.size())); });
  if (size < 0) return {0, why};
  return {static_cast<std::size_t>(size), Why::ready};
}

}  // namespace cooperative
