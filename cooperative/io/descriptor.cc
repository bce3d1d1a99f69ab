#include "cooperative/io/descriptor.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>

#include <fmt/core.h>

#include "cooperative/internal/scheduler/lent_waits.h"
#include "cooperative/io/io_error.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0 {

using mothreads::Ended;
using mothreads::Limit;
using mothreads::Until;
using mothreads::Why;

namespace {

// Asks the system, since a flag of ours may be late.
bool is_ready_now(int descriptor, Descriptor::Side side) {
  pollfd asked{descriptor, static_cast<short>(side == Descriptor::Side::read ? POLLIN : POLLOUT), 0};
  return ::poll(&asked, 1, 0) != 0;
}

}  // namespace

Descriptor::Descriptor(int descriptor) : readiness_(std::make_unique<internal::Readiness>()) {
  const int flags = fcntl(descriptor, F_GETFL);
  if (flags < 0 || ((flags & O_NONBLOCK) == 0 && fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) != 0)) {
    throw IoError(errno, fmt::format("descriptor {}", descriptor), "make it non-blocking");
  }
  descriptor_ = descriptor;
}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this == &other) return *this;
  Descriptor old(std::move(*this));
  descriptor_ = std::exchange(other.descriptor_, -1);
  readiness_ = std::move(other.readiness_);
  return *this;
}

Descriptor::~Descriptor() {
  if (descriptor_ < 0) return;
  if (!readiness_->is_its_thread()) readiness_->leave_lost_poller();
  if (readiness_->has_waiters()) {
    mothreads::internal::fatal_misuse(
        fmt::format("descriptor {} was destroyed while a fiber waits for it: close() it first, or wait for that fiber", descriptor_));
  }
  if (readiness_->is_registered() && !readiness_->is_its_thread()) {
    mothreads::internal::fatal_misuse(fmt::format(
        "descriptor {} was destroyed on another thread than that whose fibers have waited for it: destroy or release() it there", descriptor_));
  }
  close();
}

void Descriptor::close() {
  if (descriptor_ < 0) return;
  const int descriptor = release();
  internal::LentWaits::closes_here(descriptor);  // somebody may poll_list() it
  // EINTR closes it, too, on Linux; what a file system reports only now has been said by nobody, and is nobody's to mend.
  ::close(descriptor);
}

int Descriptor::release() {
  if (descriptor_ < 0) return -1;
  check_thread("a descriptor");
  const int descriptor = std::exchange(descriptor_, -1);
  readiness_->close(descriptor);
  return descriptor;
}

Why Descriptor::wait_for_edge(Side side, const char* verb, Limit limit, QueuePosition place) {
  if (descriptor_ < 0) return Why::closed;
  return readiness_->wait(descriptor_, side, verb, limit, place);
}

Why Descriptor::wait_for_close(const char* verb, Limit limit) {
  if (descriptor_ < 0) return Why::closed;
  return readiness_->wait_for_close(verb, limit);
}

std::pair<ssize_t, Why> Descriptor::wait_until_done(Side side, const Doing& doing, Limit limit, absl::FunctionRef<ssize_t()> attempt) {
  for (QueuePosition place = QueuePosition::last;; place = QueuePosition::first) {
    if (const Why why = wait_for_edge(side, doing.verb, limit, place); why != Why::ready) {
      if (why == Why::closed) throw Closed(doing.what, fmt::format("{} was closed while a fiber waited to {}", doing.what, doing.verb));
      return {-1, why};
    }
    ssize_t done = 0;
    do {
      done = attempt();
    } while (done < 0 && errno == EINTR);
    if (done >= 0) {
      readiness_->pass_on(side);
      return {done, Why::ready};
    }
    if (errno != EAGAIN) {
      const int error = errno;
      readiness_->pass_on(side);  // it may be this one's error alone
      fail(error, doing);
    }
    readiness_->clear(side);
  }
}

void Descriptor::refuse_closed(const Doing& doing) { throw Closed(doing.what, fmt::format("{} is closed: cannot {}", doing.what, doing.verb)); }

void Descriptor::fail(int error, const Doing& doing) { throw IoError(error, doing.name(), doing.verb); }

Ended Descriptor::wait_readable(const Until& until) { return wait_until_ready(Side::read, until); }
Ended Descriptor::wait_writable(const Until& until) { return wait_until_ready(Side::write, until); }

Ended Descriptor::wait_until_ready(Side side, const Until& until) {
  check_thread("a descriptor");
  internal::SchedulerCore& core = internal::SchedulerCore::current();
  internal::check_world(core);
  const Limit limit = core.start(until);
  for (QueuePosition place = QueuePosition::last; descriptor_ >= 0; place = QueuePosition::first) {
    readiness_->clear(side);  // before it is asked: what comes later makes an edge
    if (is_ready_now(descriptor_, side)) {
      readiness_->set(side);
      readiness_->pass_on(side);  // this one may do nothing with it
      return Why::ready;
    }
    const Why why = wait_for_edge(side, side == Side::read ? "waits to read from a descriptor" : "waits to write to a descriptor", limit, place);
    if (why != Why::ready) return why;
  }
  return Why::closed;
}

namespace internal::io {

bool DescriptorBranch::hold() {
  descriptor_.check_thread("a descriptor");
  check_world(SchedulerCore::current());
  if (!descriptor_.is_open()) return true;  // and the next use says so
  descriptor_.readiness().clear(side_);
  if (!is_ready_now(descriptor_.native(), side_)) return false;
  descriptor_.readiness().set(side_);
  return true;
}

bool DescriptorBranch::link(mothreads::internal::Wait& wait) {
  waiter_.was_closed = false;
  waiter_.arm(wait, Why::ready);
  Readiness& readiness = descriptor_.readiness();
  readiness.link(descriptor_.native(), side_, waiter_);
  Poller::begin_wait(SchedulerCore::current());
  linked_ = &readiness;
  return true;
}

void DescriptorBranch::unlink() noexcept {
  Readiness* const linked = std::exchange(linked_, nullptr);
  if (linked == nullptr) return;
  Poller::end_wait(SchedulerCore::current());
  if (!waiter_.was_closed) linked->unlink(side_, waiter_);
}

std::string DescriptorBranch::name() const { return fmt::format("descriptor {}", number_); }

}  // namespace internal::io
}  // namespace cooperative
