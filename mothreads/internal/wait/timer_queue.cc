#include "mothreads/internal/wait/timer_queue.h"

#include <algorithm>
#include <mutex>
#include <new>
#include <vector>

#include "mothreads/internal/base/fork.h"

namespace mothreads::inline v0::internal {
namespace {

template <typename F>
void fire_chain(TimerNode* node, F&& fire) {
  const Born here;
  while (node != nullptr) {
    TimerNode* next = node->previous;
    fire(*node);  // the node may be gone
    if (here.is_left_behind()) return;  // it has called fork(): the others are the parent's
    node = next;
  }
}

}  // namespace

struct TimerQueues {
  std::mutex mutex;
  std::vector<TimerQueue*> queues;
  static ForkPart part;
};

namespace {

TimerQueues& registry() {
  static TimerQueues& instance = *[] {
    auto* const made = new TimerQueues;
    take_part_in_forks(TimerQueues::part);
    return made;
  }();
  return instance;
}

// Before there is a second thread, where it can be: one that was about to make it at a fork() would be missed in the child.
[[maybe_unused]] const bool made_early = (registry(), true);

}  // namespace

constinit ForkPart TimerQueues::part{
    .prepare = []() noexcept { TimerQueue::hold_all(); },
    .in_parent = []() noexcept { TimerQueue::leave_all(); },
    .in_child = []() noexcept { TimerQueue::empty_all_in_child(); },
};

// From prepare() to one of the other two, which the analysis cannot see; the registry's mutex first, as always.
void TimerQueue::hold_all() noexcept ABSL_NO_THREAD_SAFETY_ANALYSIS {
  registry().mutex.lock();
  for (TimerQueue* queue : registry().queues) queue->mutex_.lock();
}

void TimerQueue::leave_all() noexcept ABSL_NO_THREAD_SAFETY_ANALYSIS {
  for (TimerQueue* queue : registry().queues) queue->mutex_.unlock();
  registry().mutex.unlock();
}

void TimerQueue::empty_all_in_child() noexcept ABSL_NO_THREAD_SAFETY_ANALYSIS {
  for (TimerQueue* queue : registry().queues) {
    queue->wheel_.for_each([queue](TimerNode& node) ABSL_NO_THREAD_SAFETY_ANALYSIS { queue->wheel_.remove(node); });
    new (&queue->mutex_) TinyMutex;  // who slept on it is not here: nobody is to be woken
    queue->go_on_in_child();
  }
  registry().mutex.unlock();
}

TimerQueue::TimerQueue(std::int64_t now) : wheel_(now) {
  std::lock_guard lock(registry().mutex);
  registry().queues.push_back(this);
}

TimerQueue::~TimerQueue() {
  std::lock_guard lock(registry().mutex);
  std::erase(registry().queues, this);
}

TimerNode** TimerQueue::take_all(const TimerOps& kind, TimerNode** end) {
  TinyLock lock(mutex_);
  // The analysis does not see that the function runs in here.
  wheel_.for_each([&](TimerNode& node) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    if (node.ops != &kind) return;
    wheel_.remove(node);
    if (!node.ops->take(node)) return;
    *end = &node;
    end = &node.previous;
  });
  *end = nullptr;
  return end;
}

void fire_everywhere(const TimerOps& kind, void (*fire_one)(TimerNode& node)) {
  TimerNode* fire = nullptr;
  {
    std::lock_guard all(registry().mutex);
    TimerNode** end = &fire;
    for (TimerQueue* queue : registry().queues) end = queue->take_all(kind, end);
  }
  fire_chain(fire, fire_one);
}

void TimerQueue::fire_all(const TimerOps& kind, void (*fire)(TimerNode& node)) {
  TimerNode* first = nullptr;
  take_all(kind, &first);
  fire_chain(first, fire);
}

void TimerQueue::add(TimerNode& node, std::int64_t when) {
  {
    TinyLock lock(mutex_);
    wheel_.add(node, when);
  }
  try {
    added(when);
  } catch (...) {
    cancel(node);
    throw;
  }
}

bool TimerQueue::cancel(TimerNode& node) noexcept {
  TinyLock lock(mutex_);
  if (!node.is_linked()) return false;
  wheel_.remove(node);
  return true;
}

std::int64_t TimerQueue::expire(std::int64_t now) {
  TimerNode* fire = nullptr;
  std::int64_t next_wake = TimerWheel::kNever;
  {
    TinyLock lock(mutex_);
    ExpiredTimers expired;
    wheel_.expire(now, expired);
    next_wake = wheel_.next_wake();
    TimerNode** end = &fire;
    while (TimerNode* node = expired.pop_front()) {
      if (!node->ops->take(*node)) continue;
      *end = node;
      end = &node->previous;
    }
  }
  fire_chain(fire, [](TimerNode& node) { node.ops->fire(node); });
  return next_wake;
}

std::size_t TimerQueue::size() const noexcept {
  TinyLock lock(mutex_);
  return wheel_.size();
}

std::int64_t TimerQueue::next_wake() const noexcept {
  TinyLock lock(mutex_);
  return wheel_.next_wake();
}

std::int64_t TimerQueue::first_time() const noexcept {
  TinyLock lock(mutex_);
  return wheel_.first_time();
}

}  // namespace mothreads::internal
