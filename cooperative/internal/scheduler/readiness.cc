#include "cooperative/internal/scheduler/readiness.h"

#include <sys/epoll.h>

#include <new>

#include <fmt/core.h>

#include "absl/cleanup/cleanup.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "mothreads/internal/wait/wait.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0::internal {

using mothreads::Limit;
using mothreads::Misuse;
using mothreads::Why;
using mothreads::internal::Context;
using mothreads::internal::Wait;
using mothreads::internal::WaitList;
using mothreads::internal::WaitNode;

namespace {

// As SchedulerCore::wait(), before all others.
Why wait_first(WaitList& list, WaitNode& node, const char* verb, Limit limit) {
  Wait wait({verb, nullptr, nullptr}, Wait::Spin::no, Context::Reach::host);
  node.arm(wait, Why::ready);
  list.push_front(node);
  absl::Cleanup leave = [&] { list.remove(node); };  // the list is only touched while the node is in it
  return wait.park(limit);
}

}  // namespace

void Readiness::refuse_thread(const char* what) {
  throw Misuse(fmt::format(
      "{} was used on another thread than that whose fibers have waited for it: release() its descriptor there, and adopt that here", what));
}

void Readiness::join_scheduler() {
  if (poller_ != nullptr) return;
  Poller& poller = SchedulerCore::current().poller();
  poller_ = &poller;
  poller.registered_.push_front(*this);
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

Why Readiness::wait(int descriptor, Side side, const char* verb, Limit limit, QueuePosition place) {
  if (!register_for(descriptor, side)) return Why::ready;
  const std::size_t i = index(side);
  SchedulerCore& core = poller_->core();
  const Poller::Waiting waiting(*poller_);
  Waiter waiter;
  const Why why = place == QueuePosition::last ? core.wait(waiters_[i], waiter, verb, limit) : wait_first(waiters_[i], waiter, verb, limit);
  if (waiter.was_closed) return Why::closed;
  if (turns_[i] == &waiter) turns_[i] = nullptr;
  return why;
}

Why Readiness::wait_for_close(const char* verb, Limit limit) {
  join_scheduler();
  Waiter waiter;
  const Why why = poller_->core().wait(close_waiters_, waiter, verb, limit);
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
  poller_->registered_.take_out(*this);
  poller_ = nullptr;
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
  next = nullptr;
  ready_[0] = ready_[1] = true;
  return true;
}

}  // namespace cooperative::internal
