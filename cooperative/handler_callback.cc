#include "cooperative/handler_callback.h"

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <utility>

#include "cooperative/internal/scheduler/call.h"
#include "cooperative/internal/scheduler/conductor.h"
#include "cooperative/internal/scheduler/mailbox.h"
#include "cooperative/internal/scheduler/posting.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/internal/wait/under_way.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0 {

using internal::Call;

// Kept by the handle, and by the mailbox while it is posted.
class HandlerCallback::State final : public Call {
 public:
  State(internal::SchedulerCore& core, const std::shared_ptr<internal::Mailbox>& mailbox, absl::AnyInvocable<void()> function)
      : Call(kKind), core_(core), mailbox_(mailbox), function_(std::move(function)) {}

  bool post() noexcept {
    static_assert(std::atomic<bool>::is_always_lock_free && std::atomic<int>::is_always_lock_free &&
                  std::atomic<Call*>::is_always_lock_free && std::atomic<std::uint64_t>::is_always_lock_free);
    std::shared_ptr<const internal::Mailbox> world;
    if (const internal::Conductor* conductor = mailbox_->conductor()) {
      conductor->check_waker();
      world = mailbox_;
    }
    // acq_rel: what came before each of the posts is seen by the run that they share.
    if (is_posted_.exchange(true, std::memory_order_acq_rel)) return !mailbox_->is_closed();
    if (world != nullptr) internal::may_be_interrupted(*world);
    internal::SchedulerCore& core = core_;  // which is never freed; this may be, by the call
    keepers_.fetch_add(1, std::memory_order_relaxed);
    if (!mailbox_->post(*this)) {
      keepers_.fetch_sub(1, std::memory_order_relaxed);  // never the last: the handle is one
      is_posted_.store(false, std::memory_order_relaxed);
      return false;
    }
    const int error = errno;
    core.inbox().wake_if_asleep(internal::Inbox::Waker::signal_handler);
    errno = error;
    if (world != nullptr) internal::may_be_interrupted(*world);
    return true;
  }

  void close() {
    const bool is_inside = under_way_.is_here();
    under_way_.close();
    if (!is_inside) function_ = nullptr;  // what it holds goes now, also when it is posted
    let_go();
  }

 private:
  static void act_on(Call& call, What what, internal::SpentCalls&) {
    struct LetGo {
      State& self;
      ~LetGo() { self.let_go(); }
    } let_go{static_cast<State&>(call)};
    State& self = let_go.self;
    self.is_posted_.exchange(false, std::memory_order_acq_rel);  // from here on it may be posted again
    internal::may_be_interrupted(*self.mailbox_);
    if (what == What::drop || !self.under_way_.begin()) return;
    struct End {
      State& self;
      ~End() { self.under_way_.end(); }
    } end{self};
    self.function_();
  }

  static constexpr Kind kKind{act_on, false};

  void let_go() noexcept {
    if (keepers_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  internal::SchedulerCore& core_;
  const std::shared_ptr<internal::Mailbox> mailbox_;
  absl::AnyInvocable<void()> function_;
  internal::UnderWay under_way_;
  std::atomic<bool> is_posted_{false};
  std::atomic<int> keepers_{1};
};

HandlerCallback::HandlerCallback(const Scheduler& scheduler, absl::AnyInvocable<void()> function)
    : state_(function ? new State(*scheduler.core_, scheduler.mailbox_, std::move(function)) : nullptr) {
  if (state_ == nullptr) throw mothreads::Misuse("a HandlerCallback was given an empty function: give it one that can be called");
}

HandlerCallback::~HandlerCallback() { state_->close(); }

bool HandlerCallback::post() const noexcept { return state_->post(); }

}  // namespace cooperative
