#include "cooperative/internal/scheduler/lent_waits.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <system_error>
#include <utility>

#include <fmt/core.h>

#include "cooperative/internal/scheduler/scheduler_core.h"

namespace cooperative::inline v0::internal {

using mothreads::Why;
using mothreads::internal::WaitNode;

LentWaits::LentWaits(Poller& poller) : poller_(poller), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  if (epoll_ < 0) throw std::system_error(errno, std::generic_category(), "a scheduler cannot have a descriptor to wait for others");
}

LentWaits::~LentWaits() { ::close(epoll_); }

bool LentWaits::link(Waiter& waiter) {
  auto& place = places_[waiter.descriptor];
  if (!place) place = std::make_unique<Lent>();
  const std::uint32_t events = place->waiters.is_empty() ? waiter.wanted : place->registered | waiter.wanted;
  epoll_event event{.events = events, .data = {.fd = waiter.descriptor}};
  // Also when others wait for that number: somebody may have closed what they wait for, and another have got its number.
  int failed = epoll_ctl(epoll_, EPOLL_CTL_ADD, waiter.descriptor, &event);
  if (failed != 0 && errno == EEXIST) {
    failed = place->is_registered && events == place->registered ? 0 : epoll_ctl(epoll_, EPOLL_CTL_MOD, waiter.descriptor, &event);
  }
  if (failed != 0) {
    const int error = errno;
    if (place->waiters.is_empty() && place->woken == nullptr) places_.erase(waiter.descriptor);
    if (error == EPERM || error == EBADF) return false;
    throw std::system_error(error, std::generic_category(), fmt::format("descriptor {} cannot be waited for", waiter.descriptor));
  }
  place->is_registered = true;
  place->registered = events;
  place->waiters.push_back(waiter);
  return true;
}

void LentWaits::unlink(Waiter& waiter) noexcept {
  const auto found = places_.find(waiter.descriptor);
  if (found == places_.end()) return;
  Lent& place = *found->second;
  place.waiters.remove(waiter);
  for (Waiter** at = &place.woken; *at != nullptr; at = &(*at)->next_woken) {
    if (*at != &waiter) continue;
    *at = waiter.next_woken;
    break;
  }
  settle(waiter.descriptor, place);
}

// What nobody waits for any more is taken out of the kernel's list.
void LentWaits::settle(int descriptor, Lent& place) noexcept {
  std::uint32_t wanted = 0;
  for (WaitNode* node = place.waiters.front(); node != nullptr; node = place.waiters.after(*node)) {
    wanted |= static_cast<Waiter*>(node)->wanted;
  }
  if (place.waiters.is_empty()) {
    // It fails when it has been closed already.
    if (std::exchange(place.is_registered, false)) static_cast<void>(epoll_ctl(epoll_, EPOLL_CTL_DEL, descriptor, nullptr));
    if (place.woken == nullptr) places_.erase(descriptor);
  } else if (wanted != place.registered) {
    epoll_event event{.events = wanted, .data = {.fd = descriptor}};
    static_cast<void>(epoll_ctl(epoll_, EPOLL_CTL_MOD, descriptor, &event));
    place.registered = wanted;
  }
}

void LentWaits::closes(int descriptor) noexcept {
  const auto found = places_.find(descriptor);
  if (found == places_.end()) return;
  Lent& place = *found->second;
  while (WaitNode* node = place.waiters.front()) {
    static_cast<Waiter*>(node)->was_closed = true;
    if (place.waiters.claim_on_host(*node)) {
      poller_.core().end_wait(*node, Why::closed);
    } else {
      place.waiters.remove(*node);
    }
  }
  for (Waiter* waiter = place.woken; waiter != nullptr; waiter = waiter->next_woken) waiter->was_closed = true;
  settle(descriptor, place);
}

void LentWaits::closes_here(int descriptor) noexcept {
  const SchedulerCore* const core = SchedulerCore::current_or_null();
  const Poller* const poller = core == nullptr ? nullptr : core->poller_or_null();
  LentWaits* const waits = poller == nullptr ? nullptr : poller->lent_waits_or_null();
  if (waits != nullptr) waits->closes(descriptor);
}

void LentWaits::collect() noexcept {
  constexpr int kAtOnce = 64;
  epoll_event events[kAtOnce];
  const int count = epoll_wait(epoll_, events, kAtOnce, 0);
  for (int i = 0; i < count; ++i) arrived(events[i].data.fd, events[i].events);
}

void LentWaits::arrived(int descriptor, std::uint32_t events) noexcept {
  const auto found = places_.find(descriptor);
  if (found == places_.end()) return;
  Lent& place = *found->second;
  constexpr std::uint32_t kForAll = EPOLLHUP | EPOLLERR;
  for (WaitNode* node = place.waiters.front(); node != nullptr;) {
    auto& waiter = static_cast<Waiter&>(*node);
    node = place.waiters.after(*node);
    if ((events & (waiter.wanted | kForAll)) == 0) continue;
    if (!place.waiters.claim_on_host(waiter)) continue;
    events &= ~waiter.wanted | kForAll;
    waiter.next_woken = std::exchange(place.woken, &waiter);
    poller_.core().end_wait(waiter, Why::ready);
  }
  settle(descriptor, place);
}

}  // namespace cooperative::internal
