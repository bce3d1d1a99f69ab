#include "docs/examples/hash_tree/checksum_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <fmt/core.h>

#include "docs/examples/hash_tree/checksum_line.h"

namespace hash_tree {
namespace {

// While nobody reads what is written, it looks so often whether to go on waiting, and so often after the stop request.
constexpr int kPollMilliseconds = 100;
constexpr int kWaitsAfterStop = 5;

struct stat status_of(int file) {
  struct stat status {};
  ::fstat(file, &status);
  return status;
}

// Lines that a pipe takes at once or not at all, when poll() says that it has room. A longer line goes alone.
std::string_view piece_for_pipe(std::string_view lines) {
  if (lines.size() <= PIPE_BUF) return lines;
  std::size_t end = lines.substr(0, PIPE_BUF).rfind('\n');
  if (end == std::string_view::npos) end = lines.find('\n');
  return lines.substr(0, end == std::string_view::npos ? end : end + 1);
}

[[noreturn]] void fail(const char* what, const std::string& name, int error) {
  throw std::system_error(error, std::generic_category(), fmt::format("{} {}", what, escaped(name)));
}

// O_NONBLOCK, so that a fifo without a reader is an error, and no wait that Ctrl-C could not end.
int open(const std::string& name, ChecksumFile::Existing existing) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  const int file = ::open(name.c_str(), existing == ChecksumFile::Existing::replace ? kFlags | O_TRUNC : kFlags, 0666);
  if (file < 0) fail("cannot open", name, errno);
  return file;
}

}  // namespace

ChecksumFile::ChecksumFile() : name_("standard output"), file_(STDOUT_FILENO), is_own_(false), id_(status_of(file_)) {
  is_regular_ = S_ISREG(status_of(file_).st_mode);
}

ChecksumFile::ChecksumFile(std::string path, Existing existing)
    : name_(std::move(path)), file_(open(name_, existing)), is_own_(true), id_(status_of(file_)) {
  is_regular_ = S_ISREG(status_of(file_).st_mode);
}

ChecksumFile::~ChecksumFile() {
  if (is_own_ && file_ >= 0) ::close(file_);
}

std::unordered_set<std::string> ChecksumFile::read_paths(const mothreads::Signal& please_stop) {
  if (!is_regular_) throw std::runtime_error(fmt::format("cannot resume {}: it is not a regular file", escaped(name_)));
  std::unordered_set<std::string> paths;
  off_t end_of_lines = 0;
  int number = 1;
  std::ifstream in(name_, std::ios::binary);
  for (std::string line; !please_stop && std::getline(in, line); ++number) {
    const bool is_torn = in.eof();
    std::optional<std::string> path = path_of_checksum_line(line);
    if (is_torn ? !begins_checksum_line(line) : !path) {
      throw std::runtime_error(fmt::format("cannot resume {}: its line {} is no checksum line", escaped(name_), number));
    }
    if (is_torn) {
      if (::ftruncate(file_, end_of_lines) != 0) fail("cannot drop the torn last line of", name_, errno);
      return paths;
    }
    paths.insert(*std::move(path));
    end_of_lines += static_cast<off_t>(line.size() + 1);
  }
  if (in.bad() || (!in.eof() && !please_stop)) fail("cannot read", name_, errno);
  return paths;
}

void ChecksumFile::write(std::string_view lines, const mothreads::Signal& please_stop) {
  while (!lines.empty()) {
    const std::string_view piece = is_regular_ ? lines : piece_for_pipe(lines);
    write_piece(piece, please_stop);
    lines.remove_prefix(piece.size());
  }
}

void ChecksumFile::write_piece(std::string_view piece, const mothreads::Signal& please_stop) {
  const auto count_lines = [this](std::string_view text) {
    lines_written_.fetch_add(static_cast<std::uint64_t>(std::ranges::count(text, '\n')), std::memory_order_relaxed);
  };
  std::size_t done = 0;
  while (done < piece.size()) {
    if (!is_regular_) wait_until_taken(please_stop);
    const ssize_t taken = ::write(file_, piece.data() + done, piece.size() - done);
    if (taken >= 0) {
      done += static_cast<std::size_t>(taken);
    } else if (errno != EINTR && errno != EAGAIN) {
      const int error = errno;
      const std::string_view came_out = piece.substr(0, done);
      const std::size_t whole = came_out.rfind('\n') + 1;  // 0 where there is none
      if (is_regular_ && whole < done) take_back(done - whole);
      count_lines(came_out);
      fail("cannot write", name_, error);
    }
  }
  count_lines(piece);
}

void ChecksumFile::wait_until_taken(const mothreads::Signal& please_stop) {
  pollfd wanted{file_, POLLOUT, 0};
  while (true) {
    const int ready = ::poll(&wanted, 1, kPollMilliseconds);
    if (ready > 0) return;  // an error, too: write() names it
    if (ready == 0 && please_stop && ++waits_after_stop_ >= kWaitsAfterStop) {
      throw std::runtime_error(fmt::format("nobody reads what goes to {}: the last lines are lost", escaped(name_)));
    }
  }
}

// The place where the next write would go follows the bytes to take back. If that fails a torn line stays, which the error
// that is being reported explains and --resume repairs.
void ChecksumFile::take_back(std::size_t bytes) const {
  const off_t end = ::lseek(file_, 0, SEEK_CUR);
  [[maybe_unused]] const int result = end < 0 ? -1 : ::ftruncate(file_, end - static_cast<off_t>(bytes));
}

void ChecksumFile::close() {
  if (is_own_ && ::close(std::exchange(file_, -1)) != 0) fail("cannot write", name_, errno);
}

}  // namespace hash_tree
