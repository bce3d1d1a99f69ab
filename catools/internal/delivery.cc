#include "catools/internal/delivery.h"

#include <algorithm>
#include <new>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/time/time.h"
#include "catools/internal/monitor.h"
#include "mothreads/clock.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/internal/wait/wait.h"
#include "mothreads/limit.h"
#include "mothreads/until.h"

namespace catools::inline v0::internal {

using mothreads::Why;
using mothreads::internal::TinyLock;

namespace {

constexpr std::size_t kSeveral = 4;    // monitors that are found together
constexpr std::size_t kTogether = 16;  // are woken before their fibers have their turns
const absl::Duration kGathers = absl::Milliseconds(1);

std::weak_ptr<Delivery>& of_this_thread() noexcept {
  static thread_local std::weak_ptr<Delivery> delivery;
  return delivery;
}

}  // namespace

std::shared_ptr<Delivery> Delivery::here() noexcept {
  std::shared_ptr<Delivery> found = of_this_thread().lock();
  // In a child of fork() a thread of the parent may have been inside.
  if (found == nullptr || found->born_.is_left_behind()) return nullptr;
  const TinyLock lock(found->mutex_);
  return found->is_over_ ? nullptr : found;
}

std::shared_ptr<Delivery> Delivery::make() {
  auto made = std::make_shared<Delivery>();
  of_this_thread() = made;
  return made;
}

void Delivery::leave(Monitor& monitor) noexcept {
  if (born_.is_left_behind()) return;
  std::replace(taken_.begin(), taken_.end(), &monitor, static_cast<Monitor*>(nullptr));
  {
    const TinyLock lock(mutex_);
    added_.erase(std::remove(added_.begin(), added_.end(), &monitor), added_.end());
  }
  if (--users_ == 0) end();
}

// Monitors that come later are woken in another way.
void Delivery::end() noexcept {
  std::vector<Monitor*> left;
  mothreads::internal::Claimed runner;
  {
    const TinyLock lock(mutex_);
    is_over_ = true;
    left.swap(added_);
    runner = waiters_.take_claimed();
  }
  runner.finish_all(Why::closed);
  for (Monitor* const monitor : left) monitor->wake();
}

bool Delivery::add(Monitor& monitor, mothreads::internal::WaitNode*& runner) noexcept {
  const TinyLock lock(mutex_);
  if (is_over_) return false;
  try {
    added_.push_back(&monitor);
  } catch (const std::bad_alloc&) {
    return false;
  }
  if (!is_gathering_) runner = waiters_.claim_front();
  return true;
}

// False when it has ended.
bool Delivery::deliver(absl::FunctionRef<void()> yield) {
  const bool may_gather = mothreads::internal::Context::current().clock->is_real();
  {
    const TinyLock lock(mutex_);
    if (is_over_) return false;
    taken_.swap(added_);
    is_gathering_ = may_gather && taken_.size() >= kSeveral;
  }
  const auto each = [this](std::size_t from, auto what) {
    for (std::size_t i = from; i < std::min(from + kTogether, taken_.size()); ++i) {
      if (taken_[i] != nullptr) what(*taken_[i]);
    }
  };
  each(0, [](const Monitor& monitor) { monitor.prefetch(); });
  for (std::size_t from = 0; from < taken_.size(); from += kTogether) {
    each(from + kTogether, [](const Monitor& monitor) { monitor.prefetch(); });
    each(from, [](Monitor& monitor) { monitor.wake(); });
    each(from + kTogether, [](const Monitor& monitor) { monitor.prefetch_waiter(); });
    if (taken_.size() > kTogether) yield();
  }
  taken_.clear();
  return true;
}

void Delivery::run(absl::FunctionRef<void()> yield) {
  const absl::Cleanup end_in_any_case = [this] {
    end();
    for (Monitor* const monitor : taken_) {
      if (monitor != nullptr) monitor->wake();
    }
    taken_.clear();
  };
  while (deliver(yield)) {
    mothreads::internal::Wait wait({.verb = "waits for updates of Channel Access"});
    mothreads::internal::WaitNode node(wait, Why::ready);
    bool gathers = false;
    {
      const TinyLock lock(mutex_);
      if (is_over_) return;
      gathers = is_gathering_;
      if (!gathers && !added_.empty()) continue;
      waiters_.push_back(node);
    }
    const absl::Cleanup unlink = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      const TinyLock lock(mutex_);
      waiters_.remove(node);
    };
    const mothreads::Until until(gathers ? kGathers : absl::InfiniteDuration());
    static_cast<void>(wait.park(mothreads::Limit(until)));
  }
}

}  // namespace catools::inline v0::internal
