#include "cooperative/internal/wait/under_way.h"

#include "absl/cleanup/cleanup.h"
#include "mothreads/until.h"

namespace cooperative::inline v0::internal {

using mothreads::Why;
using mothreads::internal::Claimed;
using mothreads::internal::Context;
using mothreads::internal::NoUnwind;
using mothreads::internal::TinyLock;
using mothreads::internal::Wait;
using mothreads::internal::WaitNode;

bool UnderWay::begin() noexcept {
  const TinyLock lock(mutex_);
  if (closed_) return false;
  who_ = &Context::current();
  return true;
}

void UnderWay::end() noexcept {
  if (born_.is_left_behind()) return;  // another thread of the parent may have held the mutex
  Claimed waiting;
  {
    const TinyLock lock(mutex_);
    who_ = nullptr;
    waiting = waiters_.take_claimed();
  }
  waiting.finish_all();
}

bool UnderWay::is_here() const noexcept {
  if (born_.is_left_behind()) return false;
  const TinyLock lock(mutex_);
  return who_ != nullptr && who_ == Context::current_or_null();
}

void UnderWay::close() noexcept {
  if (born_.is_left_behind()) return;  // whoever runs it is the parent's
  const NoUnwind whole;
  {
    const TinyLock lock(mutex_);
    closed_ = true;
    if (who_ == nullptr || who_ == &Context::current()) return;
  }
  Wait wait({"waits for the end of a callback", nullptr, nullptr});
  WaitNode node(wait, Why::ready);
  {
    const TinyLock lock(mutex_);
    if (who_ == nullptr) return;
    waiters_.push_back(node);
  }
  absl::Cleanup leave = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    const TinyLock lock(mutex_);
    waiters_.remove(node);
  };
  static_cast<void>(wait.park({}));
}

}  // namespace cooperative::internal
