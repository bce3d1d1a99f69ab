#include "cooperative/internal/poller.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>
#include <new>
#include <system_error>
#include <utility>

#include <fmt/core.h>

#include "absl/cleanup/cleanup.h"
#include "cooperative/internal/lent_waits.h"
#include "cooperative/internal/scheduler_core.h"
#include "mothreads/misuse.h"

namespace cooperative::internal {

using mothreads::Misuse;
using mothreads::Until;
using mothreads::Why;
using mothreads::internal::Context;
using mothreads::internal::Wait;
using mothreads::internal::WaitList;
using mothreads::internal::WaitNode;

struct Poller::Events {
  // The rest comes with the next call.
  static constexpr int kAtOnce = 256;
  epoll_event of[kAtOnce];
};

namespace {

// As SchedulerCore::wait(), before all others.
Why wait_first(WaitList& list, WaitNode& node, const char* verb, const Until& until) {
  Wait wait({verb, nullptr, nullptr}, Wait::Spin::no, Context::Reach::host);
  node.arm(wait, Why::ready);
  list.push_front(node);
  absl::Cleanup leave = [&] { list.remove(node); };  // the list is only touched while the node is in it
  return wait.park(until);
}

}  // namespace

void refuse_world() { throw Misuse("there are no descriptors inside a testing::World, where nothing is real: wait by the library's own means"); }

// --- one descriptor ----------------------------------------------------------------------------------------------------------

void Readiness::refuse_thread(const char* what) {
  throw Misuse(fmt::format(
      "{} was used on another thread than that whose fibers have waited for it: release() its descriptor there, and adopt that here", what));
}

void Readiness::join_scheduler() {
  if (poller_ != nullptr) return;
  Poller& poller = SchedulerCore::current().poller();
  poller_ = &poller;
  previous_ = nullptr;
  next_ = poller.first_;
  if (next_ != nullptr) next_->previous_ = this;
  poller.first_ = this;
}

// Writing is added when somebody first waits for it: every peer that reads from a Unix socket would make an edge else.
bool Readiness::register_for(int descriptor, Side side) {
  const std::uint32_t wanted = side == Side::read ? EPOLLIN | EPOLLRDHUP | EPOLLPRI : EPOLLOUT;
  if (!is_pollable_) return false;
  if ((interest_ & wanted) == wanted) return true;
  join_scheduler();
  const std::uint32_t interest = interest_ | wanted;
  if (interest_ == 0) {
    is_pollable_ = poller_->add(descriptor, interest | EPOLLET, this);
    if (!is_pollable_) return false;
    descriptor_ = descriptor;
  } else {
    poller_->change(descriptor, interest | EPOLLET, this);
  }
  interest_ = interest;
  return true;
}

Why Readiness::wait(int descriptor, Side side, const char* verb, const Until& until, Place place) {
  if (!register_for(descriptor, side)) return Why::ready;
  const std::size_t i = index(side);
  SchedulerCore& core = poller_->core();
  const Poller::Waiting waiting(*poller_);
  Waiter waiter;
  const Why why = place == Place::last ? core.wait(waiters_[i], waiter, verb, until) : wait_first(waiters_[i], waiter, verb, until);
  if (waiter.was_closed) return Why::closed;
  if (turns_[i] == &waiter) turns_[i] = nullptr;
  return why;
}

Why Readiness::wait_for_close(const char* verb, const Until& until) {
  join_scheduler();
  Waiter waiter;
  const Why why = poller_->core().wait(close_waiters_, waiter, verb, until);
  return waiter.was_closed ? Why::closed : why;
}

void Readiness::link(int descriptor, Side side, Waiter& waiter) {
  if (!register_for(descriptor, side)) throw Misuse("a descriptor that is always ready was waited for: it needs no wait");
  waiters_[index(side)].push_back(waiter);
}

void Readiness::unlink(Side side, Waiter& waiter) noexcept {
  const std::size_t i = index(side);
  if (turns_[i] == &waiter) {
    turns_[i] = nullptr;
    pass_on(side);
  } else {
    waiters_[i].remove(waiter);
  }
}

void Readiness::arrived(std::uint32_t events) noexcept {
  constexpr std::uint32_t kEnds = EPOLLHUP | EPOLLERR;
  // A read stops short at the mark of urgent data, too.
  if ((events & (kEnds | EPOLLRDHUP | EPOLLPRI)) != 0) reads_may_be_short_ = true;
  if ((events & (kEnds | EPOLLRDHUP | EPOLLPRI | EPOLLIN)) != 0) {
    ready_[index(Side::read)] = true;
    tell_watcher();
    pass_on(Side::read);
  }
  if ((events & (kEnds | EPOLLOUT)) != 0) {
    ready_[index(Side::write)] = true;
    pass_on(Side::write);
  }
}

bool Readiness::watch(int descriptor, ReadinessWatcher& watcher) {
  if (!register_for(descriptor, Side::read)) return false;
  watcher_ = &watcher;
  Poller::begin_wait(poller_->core());
  return true;
}

void Readiness::unwatch() noexcept {
  if (watcher_ == nullptr) return;
  watcher_ = nullptr;
  Poller::end_wait(poller_->core());
}

void Readiness::tell_watcher() noexcept {
  if (watcher_ == nullptr) return;
  ReadinessWatcher& watcher = *watcher_;
  unwatch();
  watcher.arrived();
}

void Readiness::wake_first(Side side) noexcept {
  const std::size_t i = index(side);
  WaitNode* const waiter = waiters_[i].claim_front_on_host();
  if (waiter == nullptr) return;
  turns_[i] = static_cast<Waiter*>(waiter);
  poller_->core().end_wait(*waiter, Why::ready);
}

// Also those that end otherwise just now, and have not gone on yet.
void Readiness::close_list(WaitList& list) noexcept {
  while (WaitNode* const waiter = list.front()) {
    static_cast<Waiter*>(waiter)->was_closed = true;
    if (list.claim_on_host(*waiter)) {
      poller_->core().end_wait(*waiter, Why::closed);
    } else {
      list.remove(*waiter);
    }
  }
}

void Readiness::close(int descriptor) noexcept {
  if (poller_ == nullptr) return;
  for (Waiter*& turn : turns_) {
    if (turn != nullptr) turn->was_closed = true;
    turn = nullptr;
  }
  for (WaitList& list : waiters_) close_list(list);
  close_list(close_waiters_);
  tell_watcher();
  if (interest_ != 0) poller_->remove(descriptor);
  interest_ = 0;
  forget();
}

void Readiness::forget() noexcept {
  if (poller_ == nullptr || (!is_its_thread() && leave_lost_poller())) return;
  unwatch();
  if (interest_ != 0) poller_->remove(descriptor_);
  interest_ = 0;
  descriptor_ = -1;
  if (previous_ != nullptr) previous_->next_ = next_;
  if (next_ != nullptr) next_->previous_ = previous_;
  if (poller_->first_ == this) poller_->first_ = next_;
  poller_ = nullptr;
  previous_ = next_ = nullptr;
  ready_[0] = ready_[1] = true;
}

void Readiness::leave_behind() noexcept {
  for (WaitList& list : waiters_) new (&list) WaitList;
  new (&close_waiters_) WaitList;
  turns_[0] = turns_[1] = nullptr;
  watcher_ = nullptr;
}

bool Readiness::leave_lost_poller() noexcept {
  if (poller_ == nullptr || !poller_->is_left_behind()) return false;
  leave_behind();
  interest_ = 0;
  descriptor_ = -1;
  poller_ = nullptr;
  previous_ = next_ = nullptr;
  ready_[0] = ready_[1] = true;
  return true;
}

// --- all of a scheduler's ----------------------------------------------------------------------------------------------------

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
  while (first_ != nullptr) first_->forget();
  lent_.reset();
  if (epoll_ >= 0) ::close(epoll_);
  core_.take_down_bell();
}

void Poller::leave_behind() noexcept {
  for (Readiness* readiness = first_; readiness != nullptr; readiness = readiness->next_) readiness->leave_behind();
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
