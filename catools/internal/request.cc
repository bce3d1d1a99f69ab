#include "catools/internal/request.h"

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "catools/internal/channel.h"
#include "catools/internal/context.h"
#include "mothreads/internal/wait/wait.h"

namespace catools::inline v0::internal {

using mothreads::Why;
using mothreads::internal::TinyLock;

void Batch::issue_all() {
  Section section(requests_.front().channel->context());
  issue_all(section);
  section.flush();
}

void Batch::issue_all(const Section&) {
  for (Request& request : requests_) request.keeps = shared_from_this();
  for (Request& request : requests_) request.channel->issue(request);
}

void Batch::finish(Request& request, Outcome outcome) noexcept {
  std::shared_ptr<Batch> batch = std::move(request.keeps);
  std::optional<Outcome> dropped;  // its destructor runs outside the lock
  mothreads::internal::WaitNode* waiter = nullptr;
  {
    const TinyLock lock(batch->mutex_);
    if (batch->is_left_) {
      dropped.emplace(std::move(outcome));
    } else {
      request.outcome.emplace(std::move(outcome));
      if (--batch->left_ == 0) waiter = batch->waiters_.claim_front();
    }
  }
  // Before the waiter goes on, so that it finds its channels unused afterwards. It keeps the batch until then.
  batch.reset();
  if (waiter != nullptr) waiter->finish(Why::ready);
}

std::optional<Outcome> Batch::refusal(std::size_t index) const {
  const TinyLock lock(mutex_);
  const std::optional<Outcome>& outcome = requests_[index].outcome;
  return outcome && outcome->code != Code::normal && !outcome->is_answer ? outcome : std::nullopt;
}

bool Batch::is_left() const noexcept {
  const TinyLock lock(mutex_);
  return is_left_;
}

void Batch::end(const Outcome& outcome) noexcept {
  mothreads::internal::WaitNode* waiter = nullptr;
  {
    const TinyLock lock(mutex_);
    if (is_left_ || left_ == 0) return;
    for (Request& request : requests_) {
      if (!request.outcome) request.outcome.emplace(outcome);
    }
    left_ = 0;
    is_left_ = true;  // answers that still come are dropped
    waiter = waiters_.claim_front();
  }
  if (waiter != nullptr) waiter->finish(Why::ready);
}

Why Batch::wait(mothreads::Limit limit) {
  Context& context = requests_.front().channel->context();
  context.begin_wait(*this);
  absl::Cleanup leave_in_any_case = [&] {
    context.end_wait(*this);
    leave();
  };
  mothreads::internal::Wait wait({.verb = "waits for the process variable", .kept_name = requests_.front().channel->kept_name()});
  mothreads::internal::WaitNode node(wait, Why::ready);
  {
    const TinyLock lock(mutex_);
    if (left_ == 0) return Why::ready;
    waiters_.push_back(node);
  }
  absl::Cleanup unlink = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    const TinyLock lock(mutex_);
    waiters_.remove(node);
  };
  return wait.park(limit);
}

void Batch::leave() noexcept {
  {
    const TinyLock lock(mutex_);
    is_left_ = true;
    if (left_ == 0) return;
  }
  for (Request& request : requests_) {
    if (request.outcome) continue;  // not written any more
    if (request.channel->withdraw(request)) request.keeps.reset();
  }
}

}  // namespace catools::inline v0::internal
