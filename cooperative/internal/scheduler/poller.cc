#include "cooperative/internal/scheduler/poller.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <system_error>
#include <utility>

#include <fmt/core.h>

#include "cooperative/internal/scheduler/lent_waits.h"
#include "cooperative/internal/scheduler/readiness.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0::internal {

using mothreads::Misuse;

struct Poller::Events {
  // The rest comes with the next call.
  static constexpr int kAtOnce = 256;
  epoll_event of[kAtOnce];
};

void refuse_world() { throw Misuse("there are no descriptors inside a testing::World, where nothing is real: wait by the library's own means"); }

Poller::Poller(SchedulerCore& core) : core_(core), events_(std::make_unique<Events>()) {
  const int bell = core.hang_bell();  // refuses a test world
  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0) {
    const int error = errno;
    core.take_down_bell();
    throw std::system_error(error, std::generic_category(), "a scheduler cannot have a descriptor to wait for others");
  }
  try {
    add(bell, EPOLLIN, nullptr);
  } catch (...) {
    ::close(epoll_);
    core.take_down_bell();
    throw;
  }
}

Poller::~Poller() {
  while (Registered* first = registered_.first()) static_cast<Readiness*>(first)->forget();
  lent_.reset();
  if (epoll_ >= 0) ::close(epoll_);
  core_.take_down_bell();
}

void Poller::leave_behind() noexcept {
  for (Registered* one = registered_.first(); one != nullptr; one = registered_.after(*one)) static_cast<Readiness*>(one)->leave_behind();
  ::close(std::exchange(epoll_, -1));  // a change of the list by this copy would be one by the parent
}

LentWaits& Poller::lent_waits() {
  if (!lent_) {
    auto made = std::make_unique<LentWaits>(*this);
    add(made->descriptor(), EPOLLIN, made.get());
    lent_ = std::move(made);
  }
  return *lent_;
}

void Poller::set_watcher(int descriptor, ReadinessWatcher& watcher) {
  add(descriptor, EPOLLIN, &watcher);
  watcher_ = &watcher;
}

void Poller::remove_watcher(int descriptor) noexcept {
  remove(descriptor);
  watcher_ = nullptr;
}

bool Poller::add(int descriptor, std::uint32_t events, void* whom) {
  epoll_event event{.events = events, .data = {.ptr = whom}};
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event) == 0) return true;
  if (errno == EPERM) return false;  // a file
  throw std::system_error(errno, std::generic_category(), fmt::format("descriptor {} cannot be waited for", descriptor));
}

void Poller::change(int descriptor, std::uint32_t events, void* whom) {
  epoll_event event{.events = events, .data = {.ptr = whom}};
  if (epoll_ctl(epoll_, EPOLL_CTL_MOD, descriptor, &event) == 0) return;
  throw std::system_error(errno, std::generic_category(), fmt::format("descriptor {} cannot be waited for", descriptor));
}

void Poller::remove(int descriptor) noexcept {
  // It fails when somebody has closed it beside us: then there is nothing to forget.
  static_cast<void>(epoll_ctl(epoll_, EPOLL_CTL_DEL, descriptor, nullptr));
}

int Poller::wait(epoll_event* events, int room, std::optional<absl::Duration> timeout) noexcept {
  if (!timeout) return epoll_wait(epoll_, events, room, -1);
  if (*timeout <= absl::ZeroDuration()) return epoll_wait(epoll_, events, room, 0);
  if (has_precise_wait_) {
    const timespec precise = absl::ToTimespec(*timeout);
    const int count = epoll_pwait2(epoll_, events, room, &precise, nullptr);
    if (count >= 0 || (errno != ENOSYS && errno != EPERM)) return count;
    has_precise_wait_ = false;
  }
  // Rounded up: a wait that ends too early would be begun again, and again.
  const std::int64_t milliseconds = absl::ToInt64Milliseconds(absl::Ceil(*timeout, absl::Milliseconds(1)));
  return epoll_wait(epoll_, events, room, static_cast<int>(std::min<std::int64_t>(milliseconds, std::numeric_limits<int>::max())));
}

void Poller::poll(std::optional<absl::Duration> timeout) noexcept {
  epoll_event* const events = events_->of;
  // A pthread_cancel() is for one of the fibers, not for whichever happens to wait for them all.
  int cancel_state = PTHREAD_CANCEL_ENABLE;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
  const int count = wait(events, Events::kAtOnce, timeout);
  pthread_setcancelstate(cancel_state, nullptr);
  if (count < 0) {
    if (errno == EINTR) return;
    mothreads::internal::fatal_misuse(fmt::format(
        "a scheduler cannot wait for its descriptors any more ({}): did something close descriptor {}, which is not its own?", std::strerror(errno),
        epoll_));
  }
  for (int i = 0; i < count; ++i) {
    void* const whom = events[i].data.ptr;
    if (whom == nullptr) {
      core_.still_bell();
    } else if (whom == lent_.get()) {
      lent_->collect();
    } else if (whom == watcher_) {
      watcher_->arrived();
    } else {
      static_cast<Readiness*>(whom)->arrived(events[i].events);
    }
  }
}

}  // namespace cooperative::internal
