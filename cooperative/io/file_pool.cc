#include "cooperative/io/file_pool.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <optional>

#include <fmt/core.h>

#include "cooperative/blocking_pool.h"
#include "cooperative/errors.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/internal/stack/page_memory.h"
#include "cooperative/io/io_error.h"

namespace cooperative::inline v0 {

using internal::io::must_call_for_file;
using internal::SchedulerCore;
using mothreads::Until;
using mothreads::Why;

constinit const internal::ServiceKind internal::io::kFilePool;

namespace {

struct FilePool final : SchedulerCore::Service {
  BlockingPool pool{"files", BlockingPoolOptions{.threads = kFileThreads}};
};

BlockingPool& pool() {
  std::unique_ptr<SchedulerCore::Service>& service = SchedulerCore::current().service(internal::io::kFilePool);
  if (service == nullptr) service = std::make_unique<FilePool>();
  return static_cast<FilePool&>(*service).pool;
}

// So much is copied out of memory at a time before others may have a turn; some 20 µs.
constexpr std::size_t kAtOnce = 256 * 1024;

// Gives -1 and EAGAIN where it would have to wait. Some file systems cannot tell: EOPNOTSUPP.
ssize_t read_at_once(int file, std::span<char> into, std::uint64_t offset) {
  if (static_cast<off_t>(offset) < 0) {
    errno = EINVAL;  // -1 would be wherever the descriptor stands
    return -1;
  }
  const iovec place{into.data(), into.size()};
  ssize_t size;
  do {
    size = ::preadv2(file, &place, 1, static_cast<off_t>(offset), RWF_NOWAIT);
  } while (size < 0 && errno == EINTR);
  return size;
}

bool is_at_end(int file, std::uint64_t offset) {
  struct stat status {};
  return ::fstat(file, &status) == 0 && S_ISREG(status.st_mode) && static_cast<off_t>(offset) >= status.st_size;
}

// For overlayfs and others that have no RWF_NOWAIT: two microseconds, where another thread costs fifty. Who may not write the file is told that
// all is there.
bool is_mapped_in_memory(int file, std::uint64_t offset, std::size_t size) {
  const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const std::uint64_t from = offset / page * page;
  const std::uint64_t length = offset + size - from;
  std::array<unsigned char, 128> pages;
  if (static_cast<off_t>(offset) < 0 || length > page * pages.size()) return false;
  void* const map = ::mmap(nullptr, length, PROT_READ, MAP_SHARED, file, static_cast<off_t>(from));
  if (map == MAP_FAILED) return false;
  const bool is_known = ::mincore(map, length, pages.data()) == 0;
  ::munmap(map, length);
  const std::size_t count = (length + page - 1) / page;
  return is_known && std::all_of(pages.begin(), pages.begin() + count, [](unsigned char one) { return (one & 1) != 0; });
}

// Its first and its last byte stand for it.
bool is_in_memory(int file, std::uint64_t offset, std::size_t size) {
  char byte;
  for (const std::uint64_t at : {offset, offset + size - 1}) {
    const ssize_t got = read_at_once(file, {&byte, 1}, at);
    if (got < 0 && errno == EOPNOTSUPP) return is_mapped_in_memory(file, offset, size);
    // None is not sure to be the end: some file systems have said so of what was not in memory, too.
    if (got < 0 || (got == 0 && !is_at_end(file, at))) return false;
  }
  return true;
}

}  // namespace

Why call_for_file(FileCall& call, absl::FunctionRef<ssize_t()> act, const Until& until) {
  call = {};
  bool has_begun = false;
  const auto make = [&] {
    has_begun = true;
    do {
      call.result = act();
      call.error = call.result < 0 ? errno : 0;
    } while (call.error == EINTR);
    call.is_done = true;
  };
  if (SchedulerCore::current_or_null() == nullptr) {
    make();
    return Why::ready;
  }
  try {
    pool().call(make, until);
  } catch (const EndedEarly& early) {
    if (call.is_done) return Why::ready;
    if (has_begun) throw;  // its own
    if (early.why() != Why::closed) return early.why();
    make();  // the thread is told to stop, and its fibers may still have something to write down
  }
  return Why::ready;
}

bool internal::io::must_call_for_file() {
  SchedulerCore* const core = SchedulerCore::current_or_null();
  return core != nullptr && core->simulation() != nullptr;
}

Why read_from_file(int file, std::span<char> into, std::uint64_t offset, std::size_t& done, const Until& until) {
  const mothreads::Limit limit(until);
  done = 0;
  while (done < into.size()) {
    if (SchedulerCore* const core = SchedulerCore::current_or_null()) core->spend_operation();
    const std::span<char> rest = into.subspan(done, std::min(into.size() - done, kAtOnce));
    ssize_t size = -1;
    if (!must_call_for_file()) {
      size = read_at_once(file, rest, offset + done);
      if (size < 0 && errno == EOPNOTSUPP && is_mapped_in_memory(file, offset + done, rest.size())) {
        size = ::pread(file, rest.data(), rest.size(), static_cast<off_t>(offset + done));
      }
    }
    if (size == 0 && is_at_end(file, offset + done)) break;
    if (size <= 0) {
      FileCall call;
      const Why why = call_for_file(
          call, [&] { return ::pread(file, rest.data(), rest.size(), static_cast<off_t>(offset + done)); }, limit);
      if (why != Why::ready) return why;
      if (call.result < 0) throw IoError(call.error, fmt::format("descriptor {}", file), "read from it");
      if (call.result == 0) break;
      size = call.result;
    }
    done += static_cast<std::size_t>(size);
  }
  return Why::ready;
}

Why bring_into_memory(int file, std::uint64_t offset, std::size_t size, const Until& until) {
  if (size == 0 || (!must_call_for_file() && is_in_memory(file, offset, size))) return Why::ready;
  FileCall call;
  const auto read_it = [&]() -> ssize_t {
    // The disk has the next part to do while this one is sent.
    ::posix_fadvise(file, static_cast<off_t>(offset), static_cast<off_t>(2 * size), POSIX_FADV_WILLNEED);
    static constexpr std::size_t kScratch = 64 * 1024;
    thread_local const internal::Memory<char> scratch = internal::make_memory<char>(kScratch);
    for (std::size_t done = 0; done < size;) {
      const ssize_t got = ::pread(file, scratch.get(), std::min(kScratch, size - done), static_cast<off_t>(offset + done));
      if (got <= 0) return got;
      done += static_cast<std::size_t>(got);
    }
    return 0;
  };
  return call_for_file(call, read_it, until);
}

}  // namespace cooperative
