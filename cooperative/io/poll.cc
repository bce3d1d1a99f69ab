#include "cooperative/io/poll.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <deque>
#include <stdexcept>

#include <fmt/core.h>
#include <fmt/ranges.h>

#include "absl/cleanup/cleanup.h"
#include "cooperative/internal/scheduler/lent_waits.h"
#include "cooperative/internal/scheduler/poller.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/io/io_error.h"
#include "mothreads/ended.h"
#include "mothreads/internal/wait/host.h"
#include "mothreads/internal/wait/wait.h"

namespace cooperative::inline v0 {

using internal::LentWaits;
using internal::Poller;
using internal::SchedulerCore;
using mothreads::Until;
using mothreads::Why;
using mothreads::internal::Context;
using mothreads::internal::Wait;

static_assert(EPOLLIN == POLLIN && EPOLLPRI == POLLPRI && EPOLLOUT == POLLOUT && EPOLLERR == POLLERR && EPOLLHUP == POLLHUP);

namespace {

// The questions, each descriptor once.
std::vector<pollfd> merged(std::span<const PollItem> items) {
  std::vector<pollfd> asked;
  std::map<int, std::size_t> places;
  for (const PollItem& item : items) {
    const auto [place, is_new] = places.try_emplace(item.descriptor, asked.size());
    // A negative one would be passed over; it is as bad as any other that is none.
    if (is_new) asked.push_back({item.descriptor, 0, 0});
    asked[place->second].events |= static_cast<short>(item.ready);
  }
  return asked;
}

std::vector<PollItem> ready_now(std::vector<pollfd>& asked) {
  if (::poll(asked.data(), asked.size(), 0) < 0 && errno != EINTR) throw IoError(errno, "poll_list", "ask for descriptors");
  std::vector<PollItem> ready;
  for (const pollfd& one : asked) {
    const short events = one.fd < 0 ? short{POLLNVAL} : one.revents;
    if (events != 0) ready.push_back({one.fd, static_cast<Ready>(events)});
  }
  return ready;
}

// Until something may have come.
Why wait_for_any(const std::vector<pollfd>& asked, mothreads::Limit limit) {
  SchedulerCore& core = SchedulerCore::current();
  Wait wait({"waits for descriptors", nullptr, nullptr}, Wait::Spin::no, Context::Reach::host);
  if (asked.empty()) return wait.park(limit);
  Poller& poller = core.poller();
  LentWaits& waits = poller.lent_waits();
  std::deque<LentWaits::Waiter> waiters;
  absl::Cleanup leave = [&] {
    for (LentWaits::Waiter& waiter : waiters) waits.unlink(waiter);
  };
  for (const pollfd& one : asked) {
    LentWaits::Waiter& waiter = waiters.emplace_back();
    waiter.arm(wait, Why::ready);
    waiter.descriptor = one.fd;
    waiter.wanted = static_cast<std::uint32_t>(one.events);
    if (!waits.link(waiter)) return Why::ready;  // poll() knows what it is
  }
  const Poller::Waiting waiting(poller);
  const Why why = wait.park(limit);
  for (const LentWaits::Waiter& waiter : waiters) {
    if (waiter.was_closed) {
      throw Closed(fmt::format("descriptor {}", waiter.descriptor),
                   fmt::format("descriptor {} was closed while a fiber waited for it", waiter.descriptor));
    }
  }
  return why;
}

}  // namespace

std::string to_string(Ready ready) {
  static constexpr std::pair<Ready, const char*> kNames[]{{Ready::in, "in"},   {Ready::pri, "pri"}, {Ready::out, "out"},
                                                          {Ready::err, "err"}, {Ready::hup, "hup"}, {Ready::nval, "nval"}};
  std::vector<const char*> names;
  for (const auto& [bit, name] : kNames) {
    if (any(ready & bit)) names.push_back(name);
  }
  return fmt::format("{}", fmt::join(names, "|"));
}

std::vector<PollItem> poll_list(std::span<const PollItem> items, const Until& until) {
  std::vector<pollfd> asked = merged(items);
  SchedulerCore& core = SchedulerCore::current();
  const mothreads::Limit limit = core.start(until);
  if (!items.empty()) internal::check_world(core);
  if (!items.empty()) core.give_turn(mothreads::internal::Host::Unwinds::yes);  // a turn for others, whatever is ready
  while (true) {
    // The system's own word: what a wait ended by may have been taken by another fiber since.
    if (std::vector<PollItem> ready = ready_now(asked); !ready.empty()) return ready;
    if (wait_for_any(asked, limit) != Why::ready) return ready_now(asked);
  }
}

std::vector<PollItem> poll_list(std::initializer_list<PollItem> items, const Until& until) {
  return poll_list(std::span(items.begin(), items.size()), until);
}

void Poll::modify(int descriptor, Ready ready) {
  const auto place = items_.find(descriptor);
  if (place == items_.end()) throw std::out_of_range(fmt::format("Poll: descriptor {} was not added", descriptor));
  place->second = ready;
}

void Poll::remove(int descriptor) {
  if (items_.erase(descriptor) == 0) throw std::out_of_range(fmt::format("Poll: descriptor {} was not added", descriptor));
}

std::vector<PollItem> Poll::poll(const Until& until) const {
  std::vector<PollItem> items;
  for (const auto& [descriptor, ready] : items_) items.push_back({descriptor, ready});
  return poll_list(items, until);
}

SelectError::SelectError(int descriptor, Ready ready)
    : std::runtime_error(fmt::format("select: descriptor {} has {}", descriptor, to_string(ready))), descriptor_(descriptor), ready_(ready) {}

Selected select(std::span<const int> to_read, std::span<const int> to_write, std::span<const int> exceptional, const Until& until) {
  std::vector<PollItem> items;
  for (const int descriptor : to_read) items.push_back({descriptor, Ready::in});
  for (const int descriptor : to_write) items.push_back({descriptor, Ready::out});
  for (const int descriptor : exceptional) items.push_back({descriptor, Ready::pri});
  std::map<int, Ready> found;
  for (const PollItem& item : poll_list(items, until)) {
    if (any(item.ready & (Ready::err | Ready::nval))) throw SelectError(item.descriptor, item.ready);
    found[item.descriptor] = item.ready;
  }
  const auto those = [&](std::span<const int> descriptors, Ready wanted) {
    std::vector<int> ready;
    for (const int descriptor : descriptors) {
      const auto place = found.find(descriptor);
      if (place != found.end() && any(place->second & wanted)) ready.push_back(descriptor);
    }
    return ready;
  };
  return {those(to_read, Ready::in | Ready::hup), those(to_write, Ready::out | Ready::hup), those(exceptional, Ready::pri)};
}

void close_descriptor(int descriptor) {
  LentWaits::closes_here(descriptor);
  if (::close(descriptor) != 0 && errno != EINTR) throw IoError(errno, fmt::format("descriptor {}", descriptor), "close it");
}

}  // namespace cooperative
