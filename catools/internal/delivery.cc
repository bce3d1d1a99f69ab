#include "catools/internal/delivery.h"

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

constexpr std::size_t kSeveral = 4;  // monitors that are found together
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

void Delivery::leave() noexcept {
  if (--users_ == 0 && !born_.is_left_behind()) end();
}

// Those that come later are woken in another way.
void Delivery::end() noexcept {
  std::vector<std::shared_ptr<Monitor>> left;
  mothreads::internal::Claimed runner;
  {
    const TinyLock lock(mutex_);
    is_over_ = true;
    left.swap(added_);
    runner = waiters_.take_claimed();
  }
  runner.finish_all(Why::closed);
  for (const std::shared_ptr<Monitor>& monitor : left) monitor->wake();
}

bool Delivery::add(std::shared_ptr<Monitor> monitor) {
  mothreads::internal::WaitNode* runner = nullptr;
  {
    const TinyLock lock(mutex_);
    if (is_over_) return false;
    added_.push_back(std::move(monitor));
    if (!is_gathering_) runner = waiters_.claim_front();
  }
  if (runner != nullptr) runner->finish(Why::ready);
  return true;
}

// False when it has ended.
bool Delivery::deliver() {
  const bool may_gather = mothreads::internal::Context::current().clock->is_real();
  {
    const TinyLock lock(mutex_);
    if (is_over_) return false;
    taken_.swap(added_);
    is_gathering_ = may_gather && taken_.size() >= kSeveral;
  }
  for (const std::shared_ptr<Monitor>& monitor : taken_) monitor->wake();
  taken_.clear();
  return true;
}

void Delivery::run() {
  const absl::Cleanup end_in_any_case = [this] { end(); };
  while (deliver()) {
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
