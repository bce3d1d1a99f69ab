#include "cooperative/io/file_pool.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>

#include <fmt/core.h>

#include "cooperative/blocking_pool.h"
#include "cooperative/errors.h"
#include "cooperative/internal/scheduler_core.h"
#include "cooperative/io/io_error.h"

namespace cooperative {

using internal::must_call_for_file;
using internal::SchedulerCore;
using mothreads::Until;
using mothreads::Why;

namespace {

struct FilePool final : SchedulerCore::Service {
  BlockingPool pool{"files", BlockingPoolOptions{.threads = kFileThreads}};
};

BlockingPool& pool() {
  std::unique_ptr<SchedulerCore::Service>& service = SchedulerCore::current().service(SchedulerCore::ServiceOf::file_pool);
  if (service == nullptr) service = std::make_unique<FilePool>();
  return static_cast<FilePool&>(*service).pool;
}

// Gives -1 and EAGAIN where it would have to wait. Some file systems cannot tell: EOPNOTSUPP.
ssize_t read_at_once(int file, std::span<char> into, std::uint64_t offset) {
  const iovec place{into.data(), into.size()};
  ssize_t size;
  do {
    size = ::preadv2(file, &place, 1, static_cast<off_t>(offset), RWF_NOWAIT);
  } while (size < 0 && errno == EINTR);
  return size;
}

bool is_in_memory(int file, std::uint64_t offset) {
  char byte;
  return read_at_once(file, {&byte, 1}, offset) >= 0;
}

}  // namespace

Why call_for_file(FileCall& call, absl::FunctionRef<ssize_t()> act, const Until& until) {
  const auto make = [&] {
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
  const Until limit = until.from_now();
  try {
    pool().call(make, limit);
  } catch (const Timedout&) {
    if (!call.is_done) return limit.has_come().value_or(Why::timed_out);
  } catch (const Closed&) {
    if (!call.is_done) make();  // the thread is told to stop, and its fibers may still have something to write down
  }
  return Why::ready;
}

bool internal::must_call_for_file() {
  SchedulerCore* const core = SchedulerCore::current_or_null();
  return core != nullptr && core->simulation() != nullptr;
}

Why read_from_file(int file, std::span<char> into, std::uint64_t offset, std::size_t& done, const Until& until) {
  const Until limit = until.from_now();
  while (done < into.size()) {
    const std::span<char> rest = into.subspan(done);
    // None is not sure to be the end: some file systems have said so of what was not in memory, too.
    if (const ssize_t size = must_call_for_file() ? 0 : read_at_once(file, rest, offset + done); size > 0) {
      done += static_cast<std::size_t>(size);
      continue;
    }
    FileCall call;
    const Why why = call_for_file(
        call, [&] { return ::pread(file, rest.data(), rest.size(), static_cast<off_t>(offset + done)); }, limit);
    if (why != Why::ready) return why;
    if (call.result < 0) throw IoError(call.error, fmt::format("descriptor {}", file), "read from it");
    if (call.result == 0) break;
    done += static_cast<std::size_t>(call.result);
  }
  return Why::ready;
}

Why bring_into_memory(int file, std::uint64_t offset, std::size_t size, const Until& until) {
  if (size == 0 || (!must_call_for_file() && is_in_memory(file, offset) && is_in_memory(file, offset + size - 1))) return Why::ready;
  FileCall call;
  const auto read_it = [&]() -> ssize_t {
    // The disk has the next part to do while this one is sent.
    ::posix_fadvise(file, static_cast<off_t>(offset), static_cast<off_t>(2 * size), POSIX_FADV_WILLNEED);
    static constexpr std::size_t kScratch = 64 * 1024;
    thread_local const std::unique_ptr<char[]> scratch(new char[kScratch]);
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
