#include "cooperative/io/internal/file_ring.h"

#include <cerrno>
#include <system_error>
#include <utility>

#include <liburing.h>

#include "cooperative/internal/scheduler/scheduler_core.h"

namespace cooperative::inline v0::internal::io {

using mothreads::internal::Context;
using mothreads::internal::NoUnwind;
using mothreads::internal::WaitList;
using mothreads::internal::WaitNode;

namespace {

constexpr ServiceKind kFileRing;

struct RingService final : SchedulerCore::Service {
  std::unique_ptr<FileRing> ring;
  bool was_tried = false;
};

RingService& service() {
  std::unique_ptr<SchedulerCore::Service>& service = SchedulerCore::current().service(kFileRing);
  if (service == nullptr) service = std::make_unique<RingService>();
  return static_cast<RingService&>(*service);
}

}  // namespace

FileRing* file_ring() {
  SchedulerCore& core = SchedulerCore::current();
  if (core.simulation() != nullptr) return nullptr;
  RingService& own = service();
  if (!std::exchange(own.was_tried, true)) own.ring = FileRing::make(core);
  return own.ring.get();
}

void do_without_file_ring() {
  service().was_tried = true;
  service().ring.reset();
}

struct FileRing::Native {
  // The kernel makes room for twice as many answers.
  Native() : is_there(io_uring_queue_init(kMaxReads / 2, &ring, 0) >= 0) {}
  ~Native() {
    if (is_there) io_uring_queue_exit(&ring);
  }
  Native(const Native&) = delete;
  Native& operator=(const Native&) = delete;

  io_uring ring;
  const bool is_there;
};

// On the stack of who reads.
struct FileRing::Read {
  WaitList waiter;
  int result = 0;
  bool is_done = false;
};

std::unique_ptr<FileRing> FileRing::make(SchedulerCore& core) {
  auto native = std::make_unique<Native>();
  if (!native->is_there) return nullptr;
  return std::unique_ptr<FileRing>(new FileRing(core, std::move(native)));
}

FileRing::FileRing(SchedulerCore& core, std::unique_ptr<Native> native) : core_(core), native_(std::move(native)) {
  core_.poller().set_watcher(native_->ring.ring_fd, *this);
}

FileRing::~FileRing() { core_.poller().remove_watcher(native_->ring.ring_fd); }

ssize_t FileRing::read(int descriptor, const iovec* pieces, int count, std::uint64_t offset) {
  if (under_way_ == kMaxReads) return -EAGAIN;
  io_uring_sqe* const request = io_uring_get_sqe(&native_->ring);
  if (request == nullptr) return -EAGAIN;
  Read read;
  io_uring_prep_readv(request, descriptor, pieces, static_cast<unsigned>(count), offset);
  io_uring_sqe_set_data(request, &read);
  if (!submit()) {
    // The request stays in the queue, and goes with the next: then it must be none of ours any more.
    io_uring_prep_nop(request);
    io_uring_sqe_set_data(request, nullptr);
    return -EAGAIN;
  }
  ++under_way_;
  arrived();  // what the kernel had at hand is there already
  if (!read.is_done) await(read);
  Context& me = Context::current();
  if (me.must_unwind()) core_.unwind(me);  // what had to wait until now
  return read.result;
}

void FileRing::await(Read& read) {
  const NoUnwind whole;
  const Poller::Waiting waiting(core_.poller());
  while (!read.is_done) {
    WaitNode node;
    static_cast<void>(core_.wait(read.waiter, node, "reads from a file"));
  }
}

bool FileRing::submit() noexcept {
  int submitted = 0;
  do {
    submitted = io_uring_submit(&native_->ring);
  } while (submitted == -EINTR);
  return submitted > 0;
}

void FileRing::arrived() noexcept {
  io_uring_cqe* answer = nullptr;
  while (io_uring_peek_cqe(&native_->ring, &answer) == 0) {
    auto* const read = static_cast<Read*>(io_uring_cqe_get_data(answer));
    const int result = answer->res;
    io_uring_cqe_seen(&native_->ring, answer);
    if (read == nullptr) continue;
    --under_way_;
    read->result = result;
    read->is_done = true;
    if (WaitNode* const waiter = read->waiter.claim_front_on_host()) core_.end_wait(*waiter, mothreads::Why::ready);
  }
}

}  // namespace cooperative::internal::io
