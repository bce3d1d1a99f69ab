#include "cooperative/blocking_pool.h"

#include <cxxabi.h>

#include <cstdio>
#include <stdexcept>

#include <fmt/core.h>

#include "absl/base/thread_annotations.h"
#include "absl/cleanup/cleanup.h"
#include "cooperative/errors.h"
#include "cooperative/internal/wait/home.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/base/linked_list.h"
#include "mothreads/internal/base/tiny_mutex.h"
#include "mothreads/internal/tree/node.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/internal/wait/wait.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0 {

using mothreads::Ended;
using mothreads::Limit;
using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Until;
using mothreads::Why;
using mothreads::internal::Claimed;
using mothreads::internal::NoUnwind;
using mothreads::internal::TinyLock;
using mothreads::internal::TinyMutex;
using mothreads::internal::Wait;
using mothreads::internal::WaitList;
using mothreads::internal::WaitNode;

namespace internal {

// Shared with the threads, and with who waits for them.
class BlockingPoolState {
 public:
  BlockingPoolState(std::string_view name, const BlockingPoolOptions& options) : name_(name), options_(options) {
    if (options.threads == 0 || options.max_waiting == 0) {
      throw Misuse(fmt::format("the pool \"{}\" has {} threads and room for {} calls: each must be one at least", name, options.threads,
                               options.max_waiting));
    }
  }

  // Gives it to an idle thread, or lines it up; waits for room. True when a thread is to be started.
  bool add(BlockingCall& call, Limit limit);
  // The thread could not be started, because of `failure`. Where it was the only one, all calls that wait fail with it.
  void no_thread(const std::exception_ptr& failure);
  void await(BlockingCall& call, Limit limit);

  // A thread of the pool.
  void work(const Signal& please_stop);

  void close();

  // In a child of fork().
  bool is_left_behind() const noexcept { return born_.is_left_behind(); }

  std::size_t threads() const {
    const TinyLock lock(mutex_);
    return threads_;
  }
  std::size_t waiting() const {
    const TinyLock lock(mutex_);
    return waiting_count_;
  }

 private:
  using Phase = BlockingCall::Phase;
  using Calls = mothreads::internal::LinkedList<BlockingCall, &BlockingCall::previous_, &BlockingCall::next_>;

  struct Idle : WaitNode {
    using WaitNode::WaitNode;
    BlockingCall* call = nullptr;
  };
  struct Caller : WaitNode {
    using WaitNode::WaitNode;
    BlockingCall* call = nullptr;
    bool is_placed = false;  // else it is to try again
  };

  void append(BlockingCall& call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void remove(BlockingCall& call) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Nothing when there is no room; else, whether a thread is to be started.
  std::optional<bool> try_add(BlockingCall& call, WaitNode*& idle) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Who is first in line for the room that there is, if there is any: its wait is to be finished.
  WaitNode* place_caller() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Those that wait for a thread, as a chain.
  BlockingCall* take_all(Phase phase) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static void end_all(BlockingCall* call);
  BlockingCall* next(const Signal& please_stop);
  // The caller goes: takes the call back, or asks it to stop and waits for its end.
  void abandon(BlockingCall& call);
  void perform(BlockingCall& call, const Signal& please_stop) const;
  void thread_goes();
  [[noreturn]] void throw_closed() const { throw Closed(name_, fmt::format("the pool \"{}\" was stopped", name_)); }
  static void write_name(const void* self, char* buffer, std::size_t size) {
    std::snprintf(buffer, size, "%s", static_cast<const BlockingPoolState*>(self)->name_.c_str());
  }

  const std::string name_;
  const BlockingPoolOptions options_;

  const mothreads::internal::Born born_;
  mutable TinyMutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  Calls calls_ ABSL_GUARDED_BY(mutex_);  // those that wait for a thread
  std::size_t waiting_count_ ABSL_GUARDED_BY(mutex_) = 0;
  std::size_t threads_ ABSL_GUARDED_BY(mutex_) = 0;
  std::size_t looking_ ABSL_GUARDED_BY(mutex_) = 0;  // of the threads: neither at a call nor idle
  WaitList idle_ ABSL_GUARDED_BY(mutex_);     // only while no call waits
  WaitList callers_ ABSL_GUARDED_BY(mutex_);  // for room; only while there is none
};

void BlockingPoolState::append(BlockingCall& call) {
  calls_.push_back(call);
  ++waiting_count_;
}

void BlockingPoolState::remove(BlockingCall& call) {
  calls_.take_out(call);
  --waiting_count_;
}

WaitNode* BlockingPoolState::place_caller() {
  if (waiting_count_ >= options_.max_waiting) return nullptr;
  WaitNode* const caller = callers_.claim_front();
  if (caller != nullptr) {
    append(*static_cast<Caller*>(caller)->call);
    static_cast<Caller*>(caller)->is_placed = true;
  }
  return caller;
}

BlockingCall* BlockingPoolState::take_all(Phase phase) {
  waiting_count_ = 0;
  BlockingCall* const all = calls_.take_all();
  for (BlockingCall* call = all; call != nullptr; call = call->next_) call->phase_ = phase;
  return all;
}

void BlockingPoolState::end_all(BlockingCall* call) {
  while (call != nullptr) {
    const Signal ended = std::exchange(call, call->next_)->ended_;  // the caller goes when it has gone
    ended.go();
  }
}

std::optional<bool> BlockingPoolState::try_add(BlockingCall& call, WaitNode*& idle) {
  if (closed_) throw_closed();
  idle = idle_.claim_front();
  if (idle != nullptr) {
    call.phase_ = Phase::begun;
    static_cast<Idle*>(idle)->call = &call;
    return false;
  }
  // Those that are about to look for a call take what waits already.
  const bool starts = threads_ < options_.threads && waiting_count_ >= looking_;
  if (!starts && waiting_count_ >= options_.max_waiting) return std::nullopt;
  append(call);
  if (starts) {
    ++threads_;
    ++looking_;
  }
  return starts;
}

bool BlockingPoolState::add(BlockingCall& call, Limit limit) {
  while (true) {
    Wait wait({"waits for room in pool", this, write_name});
    Caller caller(wait, Why::ready);
    caller.call = &call;
    WaitNode* idle = nullptr;
    std::optional<bool> starts;
    {
      const TinyLock lock(mutex_);
      starts = try_add(call, idle);
      if (!starts) callers_.push_back(caller);
    }
    if (idle != nullptr) idle->finish(Why::ready);
    if (starts) return *starts;
    Why why = Why::ready;
    {
      const absl::Cleanup leave = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
        const TinyLock lock(mutex_);
        callers_.remove(caller);
      };
      why = wait.park(limit);
    }
    if (why == Why::closed) throw_closed();
    if (why != Why::ready) {
      internal::throw_wait_ended(fmt::format("room in the pool \"{}\"", name_), why, ": the function was not called");
    }
    if (caller.is_placed) return false;
  }
}

void BlockingPoolState::no_thread(const std::exception_ptr& failure) {
  BlockingCall* failed = nullptr;
  Claimed retry;
  {
    const TinyLock lock(mutex_);
    --threads_;
    --looking_;
    if (threads_ > 0) return;
    failed = take_all(Phase::begun);
    for (BlockingCall* call = failed; call != nullptr; call = call->next_) call->failure_ = failure;
    retry = callers_.take_claimed();
  }
  retry.finish_all();
  end_all(failed);
}

BlockingCall* BlockingPoolState::next(const Signal& please_stop) {
  if (please_stop) {
    close();
    return nullptr;
  }
  Wait wait({"waits for a call of pool", this, write_name});
  Idle idle(wait, Why::ready);
  WaitNode* caller = nullptr;
  BlockingCall* call = nullptr;
  {
    const TinyLock lock(mutex_);
    call = calls_.first();
    if (call == nullptr) {
      if (closed_) return nullptr;
      --looking_;
      idle_.push_back(idle);
    } else {
      --looking_;
      remove(*call);
      call->phase_ = Phase::begun;
      caller = place_caller();
    }
  }
  if (caller != nullptr) caller->finish(Why::ready);
  if (call != nullptr) return call;
  const absl::Cleanup leave = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    const TinyLock lock(mutex_);
    idle_.remove(idle);
  };
  if (wait.park(Limit(please_stop)) == Why::ready) return idle.call;
  close();
  return nullptr;
}

// A forced unwind has no exception object: the reference to it is null, which UBSan must not mind.
__attribute__((no_sanitize("null"))) void BlockingPoolState::work(const Signal& please_stop) {
  while (BlockingCall* call = next(please_stop)) {
    const Signal ended = call->ended_;  // the caller goes when it has gone
    try {
      perform(*call, please_stop);
    } catch (abi::__forced_unwind&) {
      if (born_.is_left_behind()) throw;
      call->failure_ = std::make_exception_ptr(
          std::runtime_error(fmt::format("a call of the pool \"{}\" was ended by pthread_exit() or pthread_cancel(): let it return", name_)));
      thread_goes();
      ended.go();
      throw;
    }
    if (born_.is_left_behind()) {  // the call has called fork(), and has ended in the child: all other calls are the parent's
      if (call->failure_) mothreads::internal::report_unclaimed_failure("call of the pool", name_, call->failure_);
      return;
    }
    {
      const TinyLock lock(mutex_);
      ++looking_;
    }
    ended.go();
  }
}

// In the middle of a call. Calls that wait for a thread get another with the next that comes, or fail where this was the only one.
void BlockingPoolState::thread_goes() {
  {
    const TinyLock lock(mutex_);
    ++looking_;
  }
  no_thread(std::make_exception_ptr(Closed(name_, fmt::format("the last thread of the pool \"{}\" was ended by pthread_exit()", name_))));
}

__attribute__((no_sanitize("null"))) void BlockingPoolState::perform(BlockingCall& call, const Signal& please_stop) const {
  try {
    if (call.please_stop_) {
      const Signal either = *call.please_stop_ | please_stop;
      call.perform(&either);
    } else {
      call.perform(nullptr);
    }
  } catch (abi::__forced_unwind&) {
    throw;
  } catch (...) {
    call.failure_ = std::current_exception();
  }
}

void BlockingPoolState::await(BlockingCall& call, Limit limit) {
  Ended awaited = Why::ready;
  try {
    awaited = call.ended_.wait(limit);
  } catch (...) {
    abandon(call);  // this context is cancelled itself
    if (call.failure_) mothreads::internal::report_unclaimed_failure("call of pool", name_, call.failure_);
    throw;
  }
  if (!awaited) {
    abandon(call);
    if (call.failure_) {
      mothreads::log::warning("a call of the pool \"{}\" failed after its caller had given up: {}", name_,
                              mothreads::log::describe(call.failure_));
    }
  }
  if (call.phase_ == Phase::closed) throw_closed();
  if (!awaited) internal::throw_wait_ended(fmt::format("a call of the pool \"{}\"", name_), awaited.why());
  if (call.failure_) std::rethrow_exception(call.failure_);
}

void BlockingPoolState::abandon(BlockingCall& call) {
  Phase phase = Phase::waiting;
  WaitNode* caller = nullptr;
  {
    const TinyLock lock(mutex_);
    phase = call.phase_;
    if (phase == Phase::waiting) {
      remove(call);
      caller = place_caller();
    }
  }
  if (caller != nullptr) caller->finish(Why::ready);
  if (phase == Phase::waiting) return;
  const NoUnwind whole;
  if (phase == Phase::begun && call.please_stop_) call.please_stop_->go();
  call.ended_.wait();
}

void BlockingPoolState::close() {
  BlockingCall* withdrawn = nullptr;
  Claimed callers;
  Claimed idle;
  {
    const TinyLock lock(mutex_);
    closed_ = true;
    withdrawn = take_all(Phase::closed);
    callers = callers_.take_claimed();
    idle = idle_.take_claimed();
  }
  callers.finish_all(Why::closed);
  idle.finish_all();
  end_all(withdrawn);
}

}  // namespace internal

BlockingPool::BlockingPool(std::string_view name, const BlockingPoolOptions& options)
    : state_(std::make_shared<internal::BlockingPoolState>(name, options)), group_(name) {}

BlockingPool::~BlockingPool() { stop(); }

void BlockingPool::perform(internal::BlockingCall& call, const Until& until) {
  // Before the call is known to anybody: it is on this stack.
  if (mothreads::internal::Context::current().care.must_not_block) {
    throw mothreads::Misuse(fmt::format("Deadlock detected: a function given to Signal::then() calls the pool \"{}\" on a thread of the "
                                        "library, which nothing may block; let it start a thread, or post a callback", name()));
  }
  // One of its threads, or a fiber there.
  if (mothreads::internal::Context::current().node->parent().get() == &group_.node(mothreads::internal::kAccess)) {
    throw mothreads::Misuse(fmt::format("a function of the pool \"{}\" calls the pool again, and could wait for its own thread: use another "
                                        "pool", name()));
  }
  if (state_->is_left_behind()) {
    throw Misuse(fmt::format("the pool \"{}\" was made in the process that made this one by fork(), where its threads are: make another here",
                             name()));
  }
  const auto state = state_;  // the pool may go while this waits
  const Limit limit(until);
  if (group_.please_stop()) state->close();
  if (state->add(call, limit)) {
    try {
      group_.run(fmt::format("{} {}", name(), state->threads()), [state](const Signal& please_stop) { state->work(please_stop); });
    } catch (...) {
      state->no_thread(std::current_exception());
    }
  }
  state->await(call, limit);
}

BlockingPool& BlockingPool::stop() {
  if (state_->is_left_behind()) return *this;  // its threads are the parent's
  state_->close();
  group_.stop();
  return *this;
}

std::size_t BlockingPool::threads() const { return state_->threads(); }

std::size_t BlockingPool::waiting() const { return state_->waiting(); }

}  // namespace cooperative
