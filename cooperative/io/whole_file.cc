#include "cooperative/io/whole_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <span>

#include <fmt/core.h>

#include "cooperative/internal/stack/page_memory.h"
#include "cooperative/io/file.h"
#include "cooperative/io/file_pool.h"
#include "cooperative/io/internal/c_string.h"
#include "cooperative/io/internal/quiet_write.h"
#include "cooperative/io/io_error.h"
#include "mothreads/ended.h"
#include "mothreads/limit.h"

namespace cooperative::inline v0 {

using mothreads::Limit;
using mothreads::Until;
using mothreads::Why;

namespace {

// The most that is read at a time; some 20 us from memory.
constexpr std::size_t kAtOnce = 256 * 1024;

std::string quoted(const std::string& path) { return fmt::format("file \"{}\"", path); }

}  // namespace

std::string read_file(const std::string& path, std::size_t max, const Until& until) {
  const Limit limit(until);
  File file = File::open(path, limit);
  // The size of the file is only where to begin: it may grow, and files of the kernel's say nothing.
  const std::uint64_t expected = std::min<std::uint64_t>(file.size(), max);
  std::string text;
  text.reserve(static_cast<std::size_t>(expected));
  // By way of memory that begins at a page, which a string's does not: see cooperative/internal/stack/page_memory.h.
  const std::size_t room = static_cast<std::size_t>(std::clamp<std::uint64_t>(expected + 1, 4096, kAtOnce));
  const internal::Memory<char> part = internal::make_memory<char>(room);
  while (true) {
    const Received more = file.read_at(std::as_writable_bytes(std::span(part.get(), room)), text.size(), limit);
    if (more.size() > max - text.size()) throw TooLong(fmt::format("{}: it has more than {} bytes", file.name(), max));
    internal::append_much(text, {part.get(), more.size()});
    if (more.why() == Why::closed) return text;
    if (!more) throw_early(file.name(), more.why(), "be read");
  }
}

void write_file_atomically(const std::string& path, std::string_view data, const Until& until) { write_file_atomically(path, data, {}, until); }

namespace {

// -1 with errno. All of it on one thread of the pool.
ssize_t replace_file(const WriteFileOptions& options, const std::string& path, std::string_view data) {
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  std::string beside = fmt::format("{}/.{}.XXXXXX", folder, slash == std::string::npos ? path : path.substr(slash + 1));
  const int descriptor = mkostemp(beside.data(), O_CLOEXEC);
  if (descriptor < 0) return -1;
  const auto fill = [&] {
    const internal::io::WithoutSignal quiet(SIGXFSZ, EFBIG);
    while (!data.empty()) {
      const ssize_t written = ::write(descriptor, data.data(), data.size());
      if (written < 0 && errno != EINTR) return false;
      if (written > 0) data.remove_prefix(static_cast<std::size_t>(written));
    }
    return true;
  };
  const int of_folder = options.sync ? ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
  const bool is_written = (!options.sync || of_folder >= 0) && fill() && fchmod(descriptor, options.permissions) == 0 &&
                          (!options.sync || fsync(descriptor) == 0);
  int error = is_written ? 0 : errno;
  if (::close(descriptor) != 0 && error == 0) error = errno;
  if (error == 0 && rename(beside.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) {
    ::unlink(beside.c_str());
  } else if (options.sync && fsync(of_folder) != 0) {
    error = errno;
  }
  if (of_folder >= 0) ::close(of_folder);
  errno = error;
  return error == 0 ? 0 : -1;
}

// Only a new process can ask without changing it, for all threads.
mode_t mask_of_process() {
  std::unique_ptr<FILE, int (*)(FILE*)> status(std::fopen("/proc/self/status", "re"), &std::fclose);
  char line[128];
  unsigned int mask = 022;
  while (status != nullptr && std::fgets(line, sizeof line, status.get()) != nullptr) {
    if (std::sscanf(line, "Umask: %o", &mask) == 1) break;
  }
  return mask;
}

}  // namespace

void write_file_atomically(const std::string& path, std::string_view data, const WriteFileOptions& options, const Until& until) {
  internal::io::check_c_string(path, quoted(path), "write it");
  FileCall call;
  const auto act = [&] {
    WriteFileOptions masked = options;
    masked.permissions &= ~mask_of_process();
    return replace_file(masked, path, data);
  };
  const Why why = call_for_file(call, act, until);
  if (why != Why::ready) throw_early(quoted(path), why, "be written");
  if (call.result < 0) throw IoError(call.error, quoted(path), "write it");
}

}  // namespace cooperative
