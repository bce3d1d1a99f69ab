#include "cooperative/io/internal/file_calls.h"

#include <cerrno>
#include <memory>
#include <optional>
#include <utility>

#include "cooperative/blocking_pool.h"
#include "cooperative/errors.h"
#include "cooperative/internal/scheduler_core.h"

namespace cooperative::internal {

using mothreads::Until;
using mothreads::Why;

namespace {

struct FileService final : SchedulerCore::Service {
  std::optional<BlockingPool> pool;
  std::unique_ptr<FileRing> ring;
  bool asked_for_ring = false;
};

FileService& service() {
  std::unique_ptr<SchedulerCore::Service>& service = SchedulerCore::current().file_service();
  if (service == nullptr) service = std::make_unique<FileService>();
  return static_cast<FileService&>(*service);
}

BlockingPool& pool() {
  std::optional<BlockingPool>& pool = service().pool;
  if (!pool) pool.emplace("files", BlockingPoolOptions{.threads = kFileThreads});
  return *pool;
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

FileRing* file_ring() {
  if (must_call_for_file()) return nullptr;
  FileService& own = service();
  if (!std::exchange(own.asked_for_ring, true)) own.ring = FileRing::make(SchedulerCore::current());
  return own.ring.get();
}

void do_without_file_ring() {
  service().asked_for_ring = true;
  service().ring.reset();
}

bool must_call_for_file() { return SchedulerCore::current().simulation() != nullptr; }

}  // namespace cooperative::internal
