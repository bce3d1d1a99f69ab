#include "cooperative/internal/scheduler/foreign_poll.h"

#include "cooperative/internal/scheduler/poller.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0::internal {

using mothreads::Instant;
using mothreads::Misuse;
using mothreads::Until;
using mothreads::Why;
using mothreads::internal::TimerWheel;
using mothreads::internal::WaitNode;

// A run_due() under way. One inside another's functions is within it, and ends first.
struct ForeignPoll::PollCall {
  explicit PollCall(ForeignPoll& its_poll) : poll(its_poll), outer(its_poll.innermost_) { poll.innermost_ = this; }
  ~PollCall() {
    PollCall** place = &poll.innermost_;
    while (*place != this) place = &(*place)->outer;  // not the first when a cancelled fiber leaves
    *place = outer;
    if (poll.innermost_ == nullptr) return;
    // It looks when this fiber gives up its turn: an inner loop that goes on has its next call under way by then.
    if (WaitNode* waiter = poll.innermost_->waiters.claim_front_on_host()) poll.core_->end_wait(*waiter, Why::ready);
  }
  PollCall(const PollCall&) = delete;
  PollCall& operator=(const PollCall&) = delete;

  bool is_innermost() const noexcept { return poll.innermost_ == this; }

  void await_inner() {
    WaitNode node;
    static_cast<void>(poll.core_->wait(waiters, node, "waits for the inner loop to end"));
  }

  ForeignPoll& poll;
  PollCall* outer;
  mothreads::internal::WaitList waiters;  // itself
};

ForeignPoll::ForeignPoll(SchedulerCore& core) : core_(&core) {
  if (core.rooms().foreign_poll != nullptr) throw Misuse("this thread's scheduler has a ForeignLoop already: let all use that one");
  descriptor_ = core.poller().descriptor();
  core.rooms().foreign_poll = this;
  core.inbox().bell().set(true);  // until the first run_due() nobody knows
}

ForeignPoll::~ForeignPoll() {
  if (core_ == nullptr) return;
  if (!core_->is_its_thread()) {
    mothreads::internal::fatal_misuse("a ForeignLoop was destroyed on another thread than its own: let its own thread destroy it");
  }
  if (innermost_ != nullptr) {
    mothreads::internal::fatal_misuse("a ForeignLoop was destroyed while its run_due() runs: let it outlive the loop");
  }
  abandon();
}

void ForeignPoll::abandon() noexcept {
  disarm();
  core_->inbox().bell().set(false);
  core_->rooms().foreign_poll = nullptr;
  core_ = nullptr;
}

void ForeignPoll::leave_behind() noexcept {
  alarm_.reset();  // it has left its queue, or was about to ring in the parent
  core_->rooms().foreign_poll = nullptr;
  core_ = nullptr;
}

std::optional<Instant> ForeignPoll::run_due(const Until& until) {
  if (core_ == nullptr) throw Misuse("ForeignLoop::run_due() was called after the end of its scheduler, or in a child of fork(): let its thread make another");
  if (!core_->is_its_thread()) {
    throw Misuse("ForeignLoop::run_due() was called on another thread than its own: post a callback to its scheduler, instead");
  }
  disarm();
  {
    PollCall call(*this);
    const mothreads::Limit limit = core_->start(until);
    core_->yield();  // all that is ready has its turn, also when the limit has come
    do {
      if (call.is_innermost()) {
        static_cast<void>(core_->yield_until_idle(limit));
      } else {
        call.await_inner();
      }
    } while (!call.is_innermost());
  }
  return arm();
}

bool ForeignPoll::has_more() const noexcept {
  return !core_->rooms().queue.is_empty() || !core_->rooms().until_idle.is_empty();
}

Instant ForeignPoll::say_more() noexcept {
  core_->inbox().bell().set(true);
  return core_->clock().now();
}

std::optional<Instant> ForeignPoll::arm() {
  // Edges of what nobody waits for: the scheduler does not ask for them, and left there they would keep the descriptor readable.
  if (!core_->has_io_waits()) core_->poller().poll(absl::ZeroDuration());
  if (has_more()) return say_more();
  if (!core_->inbox().begin_sleep(Inbox::Sleep::in_poll)) return say_more();
  if (core_->rooms().callbacks.has_calls()) return say_more();
  const std::int64_t first = core_->rooms().timers.first_time();
  if (first == TimerWheel::kNever) return std::nullopt;
  const Instant when{std::chrono::nanoseconds(first)};
  if (when <= core_->clock().now()) return say_more();
  alarm_.emplace(core_->inbox());
  try {
    core_->rooms().timers.clock().timers(mothreads::internal::kAccess).add(*alarm_, first);
  } catch (...) {
    alarm_.reset();
    throw;
  }
  return when;
}

void ForeignPoll::disarm() noexcept {
  if (alarm_) {
    if (!core_->rooms().timers.clock().timers(mothreads::internal::kAccess).cancel(*alarm_)) alarm_->await();
    alarm_.reset();
  }
  core_->inbox().end_sleep(Inbox::Sleep::in_poll);
  core_->inbox().bell().set(false);
}

}  // namespace cooperative::internal
