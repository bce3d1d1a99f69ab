#include "catools/internal/request.h"

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "catools/internal/channel.h"
#include "catools/internal/context.h"
#include "mothreads/internal/wait/wait.h"

namespace catools::inline v0::internal {

using mothreads::Why;
using mothreads::internal::TinyLock;

namespace {

// Never freed: a wait may end beside the destructors of static objects.
const Answer& answer_of_end() {
  static const Answer& answer = *new Answer(failed(Code::closed, std::string(kEnded)));
  return answer;
}

}  // namespace

Answer failed(Code code, std::string text) {
  Answer answer;
  answer.parts.code = code;
  answer.parts.text = std::move(text);
  return answer;
}

void DropBatch::operator()(Batch* batch) const noexcept { batch->drop(); }

Batch::Batch(std::size_t size) : requests_(size) {
  for (Request& request : requests_) request.batch = this;
}

void Batch::issue_all() {
  Section section(requests_.front().channel->context());
  issue_all(section);
  section.flush();
}

void Batch::issue_all(const Section& section) {
  is_issued_ = true;
  // relaxed: whoever finishes a request gets it from this thread.
  under_way_.store(requests_.size(), std::memory_order_relaxed);
  for (Request& request : requests_) {
    if (section) {
      request.channel->issue(request);
    } else {
      finish(request, answer_of_end());
    }
  }
}

void Batch::finish(Request& request) noexcept {
  Batch& batch = *request.batch;
  // release pairs with the acquire in leave() and refusal().
  request.is_there.store(true, std::memory_order_release);
  // acq_rel: the last one has all answers behind it.
  if (batch.under_way_.fetch_sub(1, std::memory_order_acq_rel) == 1) batch.all_finished();
}

void Batch::finish(Request& request, Answer answer) noexcept {
  request.answer = std::move(answer);
  finish(request);
}

// The batch may be gone when the mutex has been left: the waiter goes on once it sees is_over_.
void Batch::all_finished() noexcept {
  mothreads::internal::WaitNode* waiter = nullptr;
  bool is_dropped = false;
  {
    const TinyLock lock(mutex_);
    is_over_ = true;
    is_dropped = is_dropped_;
    waiter = waiters_.claim_front();
  }
  if (waiter != nullptr) waiter->finish(Why::ready);
  if (!is_dropped) return;
  requests_.front().channel->context().forget(*this);
  delete this;
}

const Answer* Batch::answer(std::size_t index) const noexcept {
  const Request& request = requests_[index];
  if (all_seen_ || request.is_seen) return &request.answer;
  // relaxed: end_wait() came after it, under the same mutex.
  return has_ended_.load(std::memory_order_relaxed) ? &answer_of_end() : nullptr;
}

const Answer* Batch::refusal(std::size_t index) const noexcept {
  const Request& request = requests_[index];
  // acquire pairs with finish().
  if (request.is_there.load(std::memory_order_acquire)) {
    return request.answer.parts.code == Code::normal || request.answer.is_of_server ? nullptr : &request.answer;
  }
  // acquire pairs with end().
  return has_ended_.load(std::memory_order_acquire) ? &answer_of_end() : nullptr;
}

void Batch::end() noexcept {
  mothreads::internal::WaitNode* waiter = nullptr;
  {
    const TinyLock lock(mutex_);
    if (is_over_) return;
    has_ended_.store(true, std::memory_order_release);  // pairs with refusal()
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
    // relaxed: end() writes it under the mutex.
    if (is_over_ || has_ended_.load(std::memory_order_relaxed)) return Why::ready;
    waiters_.push_back(node);
  }
  absl::Cleanup unlink = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    const TinyLock lock(mutex_);
    waiters_.remove(node);
  };
  return wait.park(limit);
}

// On the waiter's side. A request that is finished from here on is not seen.
void Batch::leave() noexcept {
  // relaxed: only the waiter writes it.
  if (is_left_.load(std::memory_order_relaxed)) return;
  {
    const TinyLock lock(mutex_);
    all_seen_ = is_over_;
  }
  // acquire pairs with finish().
  if (!all_seen_) {
    for (Request& request : requests_) request.is_seen = request.is_there.load(std::memory_order_acquire);
  }
  is_left_.store(true, std::memory_order_release);  // pairs with is_left()
  if (all_seen_) return;
  for (Request& request : requests_) {
    if (request.is_seen || !request.channel->withdraw(request)) continue;
    // The batch stays: its handle has not gone. acq_rel: as in finish().
    if (under_way_.fetch_sub(1, std::memory_order_acq_rel) == 1) all_finished();
  }
}

void Batch::drop() noexcept {
  if (!is_issued_) {
    delete this;
    return;
  }
  Context& context = requests_.front().channel->context();
  if (context.is_left_behind()) return;  // a thread of the parent may have been inside
  leave();
  if (!all_seen_) {
    context.keep(*this);
    bool is_over = false;
    {
      const TinyLock lock(mutex_);
      is_dropped_ = true;
      is_over = is_over_;
    }
    if (!is_over) return;  // whoever finishes the last one frees it
    context.forget(*this);
  }
  delete this;
}

}  // namespace catools::inline v0::internal
