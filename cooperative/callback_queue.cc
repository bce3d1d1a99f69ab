#include "cooperative/callback_queue.h"

#include <cstdio>
#include <optional>
#include <utility>

#include <fmt/core.h>

#include "absl/base/thread_annotations.h"
#include "absl/cleanup/cleanup.h"
#include "absl/functional/any_invocable.h"
#include "cooperative/internal/scheduler/fiber_job.h"
#include "cooperative/internal/scheduler/fiber_life.h"
#include "cooperative/internal/scheduler/posting.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/internal/wait/under_way.h"
#include "mothreads/executor.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/base/printable.h"
#include "mothreads/internal/base/tiny_mutex.h"
#include "mothreads/internal/wait/wait.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0 {

using internal::Call;
using internal::Calls;
using internal::SchedulerCore;
using mothreads::Limit;
using mothreads::Misuse;
using mothreads::Posted;
using mothreads::Until;
using mothreads::Why;
using mothreads::internal::Claimed;
using mothreads::internal::TinyLock;
using mothreads::internal::TinyMutex;
using mothreads::internal::Wait;
using mothreads::internal::WaitList;
using mothreads::internal::WaitNode;

// Shared with the fiber that runs them. There is one while there are callbacks: an errand starts it, so that no other callback of the
// scheduler can delay it.
class CallbackQueue::State : public std::enable_shared_from_this<State> {
 public:
  State(SchedulerCore& core, const std::shared_ptr<internal::Mailbox>& mailbox, const CallbackQueueOptions& options)
      : core_(core), mailbox_(mailbox), options_(options) {}

  // Without a limit it does not wait for room.
  Posted post(Call& call, const Until* until);
  const std::string& name() const noexcept { return options_.name; }
  bool is_inside() const noexcept { return under_way_.is_here(); }

  // The queue goes.
  void close() {
    if (born_.is_left_behind()) return;  // what waits in it is the parent's
    withdraw();
    under_way_.close();
  }

  std::size_t size() const {
    const TinyLock lock(mutex_);
    return size_;
  }
  std::uint64_t dropped() const {
    const TinyLock lock(mutex_);
    return dropped_;
  }

 private:
  struct Poster : WaitNode {
    using WaitNode::WaitNode;
    Call* call = nullptr;
  };

  // Becomes the fiber; gone without having become one, nothing will run.
  struct Starter {
    explicit Starter(std::shared_ptr<State> its_state) : state(std::move(its_state)) {}
    Starter(Starter&&) noexcept = default;
    ~Starter() {
      if (state) state->withdraw();
    }
    void operator()() {
      const std::shared_ptr<State> it = std::move(state);
      it->start();
    }
    std::shared_ptr<State> state;
  };
  // As an errand.
  using StarterCall = internal::FunctionCall<Starter, internal::Errand::yes>;
  // The fiber's function.
  struct Runner {
    explicit Runner(std::shared_ptr<State> its_state) : state(std::move(its_state)) {}
    Runner(Runner&&) noexcept = default;
    ~Runner() {
      if (state) state->runner_ends();
    }
    void operator()() const { state->run(); }
    std::shared_ptr<State> state;
  };

  void put(Call& call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    Calls one;
    one.push_front(call);
    waiting_.append(one);
    ++size_;
  }
  // How a try to put a call into the queue went. Nothing has happened with the last three.
  enum class Put : std::uint8_t { done, starts, closed, full, needs_starter };
  Put try_put(Call& call, bool has_starter) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Put drop_oldest_and_put(Call& call, bool has_starter);
  // Nothing when there is room by now: then it is to try again.
  std::optional<Why> wait_for_room(Call& call, Limit limit);
  void start();
  void run();
  bool run_next(internal::SpentCalls& spent);
  Call* take();
  void runner_ends();
  void withdraw();
  static void write_name(const void* self, char* buffer, std::size_t size) {
    std::snprintf(buffer, size, "%s", static_cast<const State*>(self)->options_.name.c_str());
  }

  SchedulerCore& core_;
  const std::shared_ptr<internal::Mailbox> mailbox_;
  const CallbackQueueOptions options_;
  internal::UnderWay under_way_;

  const mothreads::internal::Born born_;
  mutable TinyMutex mutex_;
  Calls waiting_ ABSL_GUARDED_BY(mutex_);
  std::size_t size_ ABSL_GUARDED_BY(mutex_) = 0;
  WaitList posters_ ABSL_GUARDED_BY(mutex_);  // only while it is full
  bool runs_ ABSL_GUARDED_BY(mutex_) = false;  // there is a fiber, or an errand that starts it
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::uint64_t dropped_ ABSL_GUARDED_BY(mutex_) = 0;
};

CallbackQueue::State::Put CallbackQueue::State::try_put(Call& call, bool has_starter) {
  if (closed_ || mailbox_->is_closed()) return Put::closed;
  if (size_ >= options_.max) return Put::full;
  if (!runs_ && !has_starter) return Put::needs_starter;
  put(call);
  return std::exchange(runs_, true) ? Put::done : Put::starts;
}

// The first is dropped when it is full and meant to.
CallbackQueue::State::Put CallbackQueue::State::drop_oldest_and_put(Call& call, bool has_starter) {
  Call* oldest = nullptr;
  std::shared_ptr<const State> kept;  // for the log: the call may destroy this queue as soon as it is in it
  Put put = Put::closed;
  {
    const TinyLock lock(mutex_);
    if (options_.when_full == WhenFull::drop_oldest && size_ >= options_.max) {
      oldest = waiting_.pop_front();
      --size_;
      if (dropped_++ == 0) kept = shared_from_this();
    }
    put = try_put(call, has_starter);
  }
  if (oldest != nullptr) internal::drop(*oldest);
  if (kept != nullptr) {
    mothreads::log::warning("the queue \"{}\" of callbacks is full with {}: it drops the oldest, and counts them without saying so "
                            "again", kept->options_.name, kept->options_.max);
  }
  return put;
}

Posted CallbackQueue::State::post(Call& call, const Until* until) {
  internal::check_caller(*mailbox_, "CallbackQueue::callback()");
  if (born_.is_left_behind()) return Why::closed;
  // Kept where it will be looked at again after the call, which may destroy this queue.
  const std::shared_ptr<const internal::Mailbox> world = mailbox_->conductor() == nullptr ? nullptr : mailbox_;
  StarterCall* starter = nullptr;
  const absl::Cleanup drop_starter = [&] {
    if (starter == nullptr) return;
    starter->function().state = nullptr;
    internal::drop(*starter);
  };
  while (true) {
    const Put put = drop_oldest_and_put(call, starter != nullptr);
    if (put == Put::closed) return Why::closed;
    if (put == Put::needs_starter) {
      starter = static_cast<StarterCall*>(&internal::make_call<internal::Errand::yes>(Starter(shared_from_this())));
      continue;
    }
    if (put == Put::full) {
      if (until == nullptr) return Why::full;
      const std::optional<Why> why = wait_for_room(call, Limit(*until));
      if (!why) continue;
      if (*why != Why::ready) return *why;
    }
    if (put == Put::starts) {
      internal::may_be_interrupted(*mailbox_);
      // Where the scheduler ends now, this call goes with the others of the queue.
      internal::post(core_, *mailbox_, *std::exchange(starter, nullptr));
    }
    if (world != nullptr) internal::may_be_interrupted(*world);
    return Why::ready;
  }
}

// How the wait ended. `ready` when the call is in the queue; else, and when it throws, it is not.
std::optional<Why> CallbackQueue::State::wait_for_room(Call& call, Limit limit) {
  if (options_.when_full == WhenFull::refuse) return Why::full;
  if (under_way_.is_here()) {
    throw Misuse(fmt::format("a callback of the queue \"{}\" posts to it while it is full, and would wait for itself: make max larger, or "
                             "let another fiber post", options_.name));
  }
  Wait wait({"waits for room in the queue of callbacks", this, write_name});
  Poster poster(wait, Why::ready);
  poster.call = &call;
  {
    const TinyLock lock(mutex_);
    if (closed_) return Why::closed;
    if (size_ < options_.max) return std::nullopt;
    posters_.push_back(poster);
  }
  bool was_woken = false;
  const absl::Cleanup leave = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    if (was_woken) return;  // then it is off the list, and the queue may be gone
    const TinyLock lock(mutex_);
    posters_.remove(poster);
  };
  const Why why = wait.park(limit);
  was_woken = why == Why::ready || why == Why::closed;
  return why;
}

// An errand.
void CallbackQueue::State::start() {
  internal::FiberBlock& fiber = internal::make_fiber(core_, options_.name, nullptr);
  core_.rooms().stacks.give_callback_size(fiber);
  if (options_.stack_size != 0) fiber.stack_size = options_.stack_size;
  fiber.stack_option = internal::FiberBlock::StackOption::of_callback_queue;
  internal::put_job<Runner, void>(fiber, Runner(shared_from_this()));
  internal::start(fiber);
}

Call* CallbackQueue::State::take() {
  Call* call = nullptr;
  WaitNode* poster = nullptr;
  {
    const TinyLock lock(mutex_);
    call = waiting_.pop_front();
    if (call == nullptr) return nullptr;
    --size_;
    poster = posters_.claim_front();
    if (poster != nullptr) put(*static_cast<Poster*>(poster)->call);
  }
  if (poster != nullptr) poster->finish(Why::ready);
  return call;
}

void CallbackQueue::State::run() {
  constexpr int kCallsPerTurn = 64;
  internal::SpentCalls spent;
  for (int count = 1; run_next(spent); ++count) {
    if (core_.running_fiber()->is_cancelled) return;  // too late for that one, and not meant for the next
    if (count % kCallsPerTurn == 0) core_.yield();
  }
}

// False when there is none. What it has taken the queue's end waits for, also before it runs.
bool CallbackQueue::State::run_next(internal::SpentCalls& spent) {
  if (!under_way_.begin()) return false;
  const absl::Cleanup end = [this] { under_way_.end(); };
  Call* const call = take();
  if (call == nullptr) return false;
  internal::may_be_interrupted(*mailbox_);
  internal::run_callback(*call, spent);
  return !born_.is_left_behind();  // it has called fork(), and has ended in the child: all other calls are the parent's
}

// Cancelled with a callback, it leaves the rest to another, unless the scheduler ends.
void CallbackQueue::State::runner_ends() {
  bool is_empty = false;
  {
    const TinyLock lock(mutex_);
    is_empty = waiting_.is_empty();
    if (is_empty) runs_ = false;
  }
  if (is_empty) return;
  if (mailbox_->is_closed()) {
    withdraw();
  } else {
    start();
  }
}

void CallbackQueue::State::withdraw() {
  Calls withdrawn;
  Claimed posters;
  {
    const TinyLock lock(mutex_);
    closed_ = true;
    runs_ = false;
    size_ = 0;
    withdrawn.append(std::exchange(waiting_, {}));
    posters = posters_.take_claimed();
  }
  posters.finish_all(Why::closed);
  if (const std::size_t count = withdrawn.drop_all(); count > 0) {
    mothreads::log::warning("{} callbacks of the queue \"{}\" were withdrawn: it ended before their turn", count, options_.name);
  }
}

class CallbackQueue::Target final : public mothreads::internal::ExecutorTarget {
 public:
  explicit Target(std::shared_ptr<State> queue) : queue_(std::move(queue)) {}

  Posted post(absl::AnyInvocable<void()>& function) const override {
    internal::CallOnOffer<absl::AnyInvocable<void()>> call(std::move(function));
    const Posted posted = queue_->post(*call, nullptr);
    if (posted) call.is_taken();
    return posted;
  }
  std::string name() const override { return fmt::format("the queue \"{}\" of callbacks", queue_->name()); }

 private:
  const std::shared_ptr<State> queue_;
};

CallbackQueue::CallbackQueue(const Scheduler& scheduler, const CallbackQueueOptions& options)
    : scheduler_(scheduler), state_(std::make_shared<State>(*scheduler.core_, scheduler.mailbox_, options)) {
  if (options.max == 0) throw Misuse(fmt::format("the queue \"{}\" of callbacks has a max of 0: give it room for one at least", options.name));
  if (options.name.find('\0') != std::string::npos) {
    throw Misuse(fmt::format("\"{}\" cannot be the name of a CallbackQueue: it has a zero byte, which would end it in every report", mothreads::internal::printable(options.name)));
  }
}

CallbackQueue::~CallbackQueue() { state_->close(); }

Posted CallbackQueue::post(Call& call, const Until& until) { return state_->post(call, &until); }

CallbackQueue::operator mothreads::Executor() const { return mothreads::Executor(new Target(state_), mothreads::internal::kAccess); }

void CallbackQueue::check_not_inside() const {
  if (!state_->is_inside()) return;
  throw Misuse("a callback of a CallbackQueue asks the same queue for a callback_result(), and would wait for its own end: call the "
               "function");
}

std::size_t CallbackQueue::size() const { return state_->size(); }

std::uint64_t CallbackQueue::dropped() const { return state_->dropped(); }

}  // namespace cooperative
