#include "cooperative/io/file.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <iterator>
#include <optional>
#include <utility>

#include <fmt/core.h>

#include "absl/cleanup/cleanup.h"
#include "absl/container/inlined_vector.h"
#include "cooperative/errors.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/internal/stack/page_memory.h"
#include "cooperative/io/file_pool.h"
#include "cooperative/io/internal/c_string.h"
#include "cooperative/io/internal/file_ring.h"
#include "cooperative/io/internal/quiet_write.h"
#include "mothreads/internal/base/printable.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0 {

using mothreads::Limit;
using mothreads::Misuse;
using mothreads::Until;
using mothreads::Why;

namespace {

// So much is copied out of memory at a time before others may have a turn; some 20 µs.
constexpr std::size_t kAtOnce = 256 * 1024;
constexpr std::size_t kReadAhead = 64 * 1024;

using Pieces = absl::InlinedVector<iovec, 8>;

// Leaves the bytes behind the first `done`.
void drop(Pieces& pieces, std::size_t done) {
  auto at = pieces.begin();
  while (at != pieces.end() && done >= at->iov_len) done -= (at++)->iov_len;
  pieces.erase(pieces.begin(), at);
  if (pieces.empty()) return;
  pieces.front().iov_base = static_cast<char*>(pieces.front().iov_base) + done;
  pieces.front().iov_len -= done;
}

int count(const Pieces& pieces) { return static_cast<int>(std::min<std::size_t>(pieces.size(), IOV_MAX)); }

std::size_t size_of(const Pieces& pieces) {
  std::size_t size = 0;
  for (const iovec& piece : pieces) size += piece.iov_len;
  return size;
}

Pieces pieces_of(std::span<const std::string_view> texts) {
  Pieces pieces;
  for (const std::string_view text : texts) {
    if (!text.empty()) pieces.push_back({const_cast<char*>(text.data()), text.size()});
  }
  return pieces;
}

int flags_of(const std::string& path, const FileOptions& options) {
  const bool changes = options.create || options.truncate || options.append;
  const char* wrong = nullptr;
  if (!options.read && !options.write) wrong = "is opened neither to read nor to write: choose one";
  if (options.read && !options.write && changes) wrong = "cannot be changed when it is opened only to read: say {.write = true}";
  if (options.exclusive && !options.create) wrong = "cannot be exclusive unless it is made: say {.create = true}";
  if (wrong != nullptr) throw Misuse(fmt::format("file \"{}\" {}", mothreads::internal::printable(path), wrong));
  int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;  // the last for a FIFO of that name, which nobody may ever open at its other end
  flags |= options.read && options.write ? O_RDWR : options.write ? O_WRONLY : O_RDONLY;
  if (options.create) flags |= O_CREAT;
  if (options.exclusive) flags |= O_EXCL;
  if (options.truncate) flags |= O_TRUNC;
  if (options.append) flags |= O_APPEND;
  if (options.direct) flags |= O_DIRECT;
  return flags;
}

// A path whose way is in memory: Linux 5.12. -1 when it must be looked for.
int open_at_once(const std::string& path, int flags) {
  if ((flags & (O_CREAT | O_TRUNC)) != 0 || internal::io::must_call_for_file()) return -1;
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags);
  how.resolve = RESOLVE_CACHED;
  return static_cast<int>(syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof how));
}

std::string quoted(const std::string& path) { return fmt::format("file \"{}\"", path); }

}  // namespace

struct File::Opened {
  Opened(int its_descriptor, std::string its_path) : descriptor(its_descriptor), path(std::move(its_path)) {
    const int flags = fcntl(descriptor, F_GETFL);
    appends = (flags & O_APPEND) != 0;
    if ((flags & O_DIRECT) != 0) reads_at_once = false;
    struct stat status {};
    is_on_disk = fstat(descriptor, &status) == 0 && (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode));
  }
  ~Opened() { ::close(descriptor); }
  Opened(const Opened&) = delete;
  Opened& operator=(const Opened&) = delete;

  std::string name() const { return path.empty() ? fmt::format("file {}", descriptor) : quoted(path); }

  const int descriptor;
  const std::string path;
  bool appends = false;
  bool is_on_disk = false;  // a FIFO or the like might let io_uring wait for ever
  std::atomic<bool> reads_at_once{true};  // relaxed: only whether it is worth a try

  // -1 when that is not known.
  off_t end() const noexcept {
    struct stat status {};
    return fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) ? status.st_size : -1;
  }

  // At the end of the file 0.
  std::pair<ssize_t, Why> read_once(const Pieces& into, std::uint64_t offset, Limit limit);
  std::pair<ssize_t, Why> write_once(const Pieces& from, std::uint64_t offset, Limit limit, std::size_t& done);
};

File::AtPosition::~AtPosition() {
  if (turn.is_taken() && !born.is_left_behind()) mothreads::internal::fatal_misuse("a file was destroyed while a fiber reads or writes it: let it outlive who uses it");
}

// --- one call of the system --------------------------------------------------------------------------------------------------

std::pair<ssize_t, Why> File::Opened::read_once(const Pieces& into, std::uint64_t offset, Limit limit) {
  internal::SchedulerCore::current().spend_operation();
  // An offset of -1 would be wherever the descriptor stands.
  if (reads_at_once.load(std::memory_order_relaxed) && static_cast<off_t>(offset) >= 0 && !internal::io::must_call_for_file()) {
    iovec first = into.front();
    const bool is_large = first.iov_len > kAtOnce;
    if (is_large) first.iov_len = kAtOnce;
    const ssize_t size = preadv2(descriptor, is_large ? &first : into.data(), is_large ? 1 : count(into), static_cast<off_t>(offset), RWF_NOWAIT);
    if (size > 0) return {size, Why::ready};
    // Some file systems have said so of what was not in memory, too.
    if (const off_t its_end = size == 0 ? end() : 0; its_end > 0 && static_cast<off_t>(offset) >= its_end) return {0, Why::ready};
    if (size < 0 && errno == EOPNOTSUPP) reads_at_once.store(false, std::memory_order_relaxed);
  }
  if (const std::optional<Why> come = limit.has_come()) return {-1, *come};
  if (internal::io::FileRing* const ring = is_on_disk ? internal::io::file_ring() : nullptr) {
    const ssize_t size = ring->read(descriptor, into.data(), count(into), offset);
    if (size >= 0) return {size, Why::ready};
    if (size != -EAGAIN && size != -EOPNOTSUPP && size != -EINTR) throw IoError(static_cast<int>(-size), name(), "read from it");
  }
  FileCall call;
  const Why why = call_for_file(
      call, [&] { return preadv(descriptor, into.data(), count(into), static_cast<off_t>(offset)); }, limit);
  if (why != Why::ready) return {-1, why};
  if (call.result < 0) throw IoError(call.error, name(), "read from it");
  return {call.result, Why::ready};
}

// `done` counts also what was written when the fiber is unwound.
std::pair<ssize_t, Why> File::Opened::write_once(const Pieces& from, std::uint64_t offset, Limit limit, std::size_t& done) {
  internal::SchedulerCore::current().spend_operation();
  FileCall call;
  const absl::Cleanup add = [&] {
    if (call.result > 0) done += static_cast<std::size_t>(call.result);
  };
  const auto write = [&] {
    const internal::io::WithoutSignal quiet(SIGXFSZ, EFBIG);  // more than RLIMIT_FSIZE is an error, and no signal
    return pwritev(descriptor, from.data(), count(from), static_cast<off_t>(offset));
  };
  const Why why = call_for_file(call, write, limit);
  if (why != Why::ready) return {-1, why};
  if (call.result < 0) throw IoError(call.error, name(), "write to it");
  return {call.result, Why::ready};
}

// --- opening and closing -----------------------------------------------------------------------------------------------------

File File::open(const std::string& path, const FileOptions& options, const Until& until) {
  const int flags = flags_of(path, options);
  internal::io::check_c_string(path, quoted(path), "open it");
  int descriptor = open_at_once(path, flags);
  if (descriptor < 0) {
    FileCall call;
    absl::Cleanup close_unused = [&] {
      if (call.result >= 0) ::close(static_cast<int>(call.result));
    };
    const Why why = call_for_file(call, [&] { return ::open(path.c_str(), flags, options.permissions); }, until);
    if (why != Why::ready) throw_early(quoted(path), why, "be opened");
    if (call.result < 0) throw IoError(call.error, quoted(path), "open it");
    descriptor = static_cast<int>(call.result);
    std::move(close_unused).Cancel();
  }
  return File(std::make_shared<Opened>(descriptor, path));
}

File File::adopt(int descriptor) {
  if (fcntl(descriptor, F_GETFD) < 0) throw IoError(errno, fmt::format("descriptor {}", descriptor), "use it as a file");
  File file(std::make_shared<Opened>(descriptor, std::string()));
  if (const off_t at = lseek(descriptor, 0, SEEK_CUR); at > 0) file.position_ = static_cast<std::uint64_t>(at);
  return file;
}

void File::close() { opened_.reset(); }

std::shared_ptr<File::Opened> File::opened(const char* verb) const {
  if (opened_ == nullptr) throw Closed("a file", fmt::format("a file is closed: cannot {}", verb));
  return opened_;
}

std::string File::name() const { return opened_ == nullptr ? "a closed file" : opened_->name(); }
int File::native() const { return opened_ == nullptr ? -1 : opened_->descriptor; }

// --- at a place --------------------------------------------------------------------------------------------------------------

Received File::read_at(std::span<std::byte> into, std::uint64_t offset, const Until& until) { return read_at({&into, 1}, offset, until); }

Received File::read_at(std::span<const std::span<std::byte>> into, std::uint64_t offset, const Until& until) {
  const std::shared_ptr<Opened> file = opened("read from it");
  Pieces pieces;
  for (const std::span<std::byte> place : into) {
    if (!place.empty()) pieces.push_back({place.data(), place.size()});
  }
  const Limit limit = start(until);
  std::size_t done = 0;
  while (!pieces.empty()) {
    const auto [size, why] = file->read_once(pieces, offset + done, limit);
    if (size < 0) return {done, why};
    if (size == 0) return {done, Why::closed};
    done += static_cast<std::size_t>(size);
    drop(pieces, static_cast<std::size_t>(size));
  }
  return {done, Why::ready};
}

void File::write_at(std::string_view data, std::uint64_t offset, const Until& until) { write_at({&data, 1}, offset, until); }

void File::write_at(std::span<const std::string_view> texts, std::uint64_t offset, const Until& until) {
  const std::shared_ptr<Opened> file = opened("write to it");
  Pieces pieces = pieces_of(texts);
  const std::size_t size = size_of(pieces);
  const Limit limit = start(until);
  std::size_t done = 0;
  while (!pieces.empty()) {
    const auto [written, why] = file->write_once(pieces, offset + done, limit, done);
    if (written < 0) {
      throw WriteTimedout(file->name(), why, done, size);
    }
    drop(pieces, static_cast<std::size_t>(written));
  }
}

// --- the whole ---------------------------------------------------------------------------------------------------------------

std::uint64_t File::size() const {
  const std::shared_ptr<Opened> file = opened("tell its size");
  struct stat status {};
  if (fstat(file->descriptor, &status) != 0) throw IoError(errno, file->name(), "tell its size");
  return static_cast<std::uint64_t>(status.st_size);
}

void File::do_whole(const char* verb, absl::FunctionRef<ssize_t(int)> act, const Until& until) {
  const std::shared_ptr<Opened> file = opened(verb);
  FileCall call;
  const Why why = call_for_file(call, [&] { return act(file->descriptor); }, start(until));
  if (why != Why::ready) throw_early(file->name(), why, verb);
  if (call.result < 0) throw IoError(call.error, file->name(), verb);
}

void File::truncate(std::uint64_t size, const Until& until) {
  do_whole(
      "change its size",
      [size](int descriptor) {
        const internal::io::WithoutSignal quiet(SIGXFSZ, EFBIG);
        return ftruncate(descriptor, static_cast<off_t>(size));
      },
      until);
}

void File::sync(const Until& until) { do_whole("sync it", fsync, until); }
void File::sync_data(const Until& until) { do_whole("sync it", fdatasync, until); }

// --- as a stream -------------------------------------------------------------------------------------------------------------

void File::seek(std::uint64_t position) {
  static_cast<void>(opened("seek in it"));
  consume(buffered().size());
  position_ = position;
}

Received File::receive(std::span<std::byte> into, Limit limit) {
  const std::shared_ptr<Opened> file = opened("read from it");
  place_->home.check("a file");
  if (const Why why = place_->turn.take("waits for its turn in a file", limit); why != Why::ready) return {0, why};
  const absl::Cleanup leave = [turn = &place_->turn] { turn->leave(); };
  const auto [size, why] = file->read_once({iovec{into.data(), into.size()}}, position_, limit);
  if (size < 0) return {0, why};
  if (size == 0) return {0, Why::closed};
  position_ += static_cast<std::uint64_t>(size);
  return {static_cast<std::size_t>(size), Why::ready};
}

// Not into the buffer itself: another fiber may read from that while this one waits.
Received File::receive_ahead(Ahead& ahead, Limit limit) {
  const internal::Memory<std::byte> room = internal::make_memory<std::byte>(kReadAhead);
  const Received more = receive({room.get(), kReadAhead}, limit);
  if (more.size() > 0) ahead.append(reinterpret_cast<const char*>(room.get()), more.size());
  return more;
}

Sent File::send_pieces(std::span<const std::string_view> pieces, Limit limit) {
  const std::shared_ptr<Opened> file = opened("write to it");
  if (!writes_) throw Closed(file->name(), file->name() + ": nothing is written after shut_down_writing()");
  place_->home.check("a file");
  if (const Why why = place_->turn.take("waits for its turn in a file", limit); why != Why::ready) return {0, why};
  const absl::Cleanup leave = [turn = &place_->turn] { turn->leave(); };
  seek(position());  // what was looked ahead is written over, or is behind
  std::size_t done = 0;
  const absl::Cleanup move_on = [&] {
    const off_t end = file->appends && done > 0 ? file->end() : -1;
    position_ = end >= 0 ? static_cast<std::uint64_t>(end) : position_ + done;
  };
  const auto [written, why] = file->write_once(pieces_of(pieces), position_, limit, done);
  return {done, written < 0 ? why : Why::ready};
}

void File::end_writing(Limit) { writes_ = false; }

// --- from one to the other ---------------------------------------------------------------------------------------------------

std::uint64_t copy_file(File& from, File& to, std::uint64_t max, const Until& until) {
  constexpr std::uint64_t kPart = std::uint64_t{64} << 20;  // a limit comes between two of them
  const std::shared_ptr<File::Opened> source = from.opened("copy from it");
  const std::shared_ptr<File::Opened> target = to.opened("copy to it");
  const Limit limit(until);
  from.seek(from.position());
  to.seek(to.position());
  std::uint64_t copied = 0;
  while (copied < max) {
    const std::size_t part = static_cast<std::size_t>(std::min(max - copied, kPart));
    FileCall call;
    const absl::Cleanup move_on = [&] {
      if (call.result <= 0) return;
      copied += static_cast<std::uint64_t>(call.result);
      from.position_ += static_cast<std::uint64_t>(call.result);
      to.position_ += static_cast<std::uint64_t>(call.result);
    };
    const auto act = [&] {
      const internal::io::WithoutSignal quiet(SIGXFSZ, EFBIG);
      auto at = static_cast<off_t>(from.position_);
      auto into = static_cast<off_t>(to.position_);
      return copy_file_range(source->descriptor, &at, target->descriptor, &into, part, 0);
    };
    const Why why = call_for_file(call, act, limit);
    if (why != Why::ready) throw_early(target->name(), why, "be copied to");
    if (call.result == 0 && copied > 0) break;
    if (call.result > 0) continue;
    // Two file systems, one that cannot, or files of the kernel's, which say that they are empty.
    constexpr int kOtherwise[]{EXDEV, EINVAL, EOPNOTSUPP, ENOSYS, EBADF};
    if (call.result < 0 && std::find(std::begin(kOtherwise), std::end(kOtherwise), call.error) == std::end(kOtherwise)) {
      throw IoError(call.error, target->name(), fmt::format("copy {} to it", source->name()));
    }
    const internal::Memory<std::byte> room = internal::make_memory<std::byte>(kReadAhead);
    while (copied < max) {
      const std::span<std::byte> into(room.get(), static_cast<std::size_t>(std::min<std::uint64_t>(max - copied, kReadAhead)));
      const Received more = from.read_some(into, limit);
      if (more.why() == Why::closed) return copied;
      if (!more) throw_early(source->name(), more.why(), "be copied");
      std::size_t written = 0;
      try {
        to.write_all(into.first(more.size()), limit);
        written = more.size();
      } catch (const WriteTimedout& early) {
        from.seek(from.position() - (more.size() - early.written()));
        throw;
      }
      copied += written;
    }
  }
  return copied;
}

}  // namespace cooperative
