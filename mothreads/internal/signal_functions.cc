// The functions that then() gives a state, and how they are taken back.

#include <atomic>
#include <cstdint>
#include <exception>
#include <new>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "mothreads/internal/aftermath.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/signal_state.h"
#include "mothreads/internal/wait/wait.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"
#include "mothreads/until.h"

namespace mothreads::inline v0::internal {
namespace {

// No two are the same in this process.
std::uint64_t make_number() noexcept {
  constexpr std::uint64_t kAtOnce = 1024;
  static constinit std::atomic<std::uint64_t> next_block{1};
  static constinit thread_local std::uint64_t next = 0;
  // relaxed: they only have to differ.
  if (next % kAtOnce == 0) next = next_block.fetch_add(1, std::memory_order_relaxed) * kAtOnce;
  return next++;
}

}  // namespace

// --- then() --------------------------------------------------------------------------------------------------------------

CallbackId SignalState::then(absl::AnyInvocable<void()> function) {
  if (!function) throw Misuse("Signal::then was given an empty function: give it one that can be called");
  if (never_) return {};
  Context::watch(Step::before, "gives a function to Signal", this, write_name_of);
  if (is_gone()) return run_late(std::move(function));
  // The function is moved into its place before the mutex is taken: its move is the user's code.
  std::uint64_t number = 0;
  Callback* const callback = make_callback(std::move(function), number);
  if (number == 0) callback->ref();
  CallbackId id(number == 0 ? callback : nullptr, number);
  bool is_kept = false;
  {
    TinyLock lock(mutex_);
    if (!is_gone()) {
      if (number != 0) first_number_ = number;
      callbacks_.push_back(*callback);
      if (!revivable_ || kept_) return id;
      is_kept = true;
    }
  }
  if (!is_kept) {
    function = std::move(callback->run);
    callback->run = nullptr;
    let_go(*callback);
    return run_late(std::move(function));
  }
  keep();
  if (is_gone()) leave_sources();  // it fired meanwhile, perhaps before all was kept
  return id;
}

Callback* SignalState::make_callback(absl::AnyInvocable<void()>&& function, std::uint64_t& number) {
  // relaxed: the flag only says whose the room is; the mutex publishes what is in it.
  if (first_callback_taken_.load(std::memory_order_relaxed) ||
      first_callback_taken_.exchange(true, std::memory_order_relaxed)) {
    return new Callback(std::move(function), *this);
  }
  number = make_number();
  return new (&first_callback_.value) Callback(std::move(function), *this);
}

// The room of the first is not destroyed: an id may still ask whether that function is over.
void SignalState::let_go(Callback& callback) noexcept {
  if (&callback != &first_callback_.value) callback.unref();
}

void SignalState::keep() noexcept {
  Relay* to_turn = nullptr;
  Relay* turned = nullptr;
  const bool was_first = turn(to_turn);
  while (Relay* relay = to_turn) {
    to_turn = std::exchange(relay->next_kept, turned);
    turned = relay;
    relay->was_first_to_keep = relay->kept->turn(to_turn);
  }
  // The last first: each is kept by one before it.
  while (Relay* relay = turned) {
    turned = relay->next_kept;
    SignalState* const state = relay->kept;
    if (relay->was_first_to_keep) state->set_turned();
    state->keep_no_more();  // what it led to may have gone meanwhile, and left it to nobody
    state->unref();
  }
  if (was_first) set_turned();
}

// False when it is turned round already, or is about to be.
bool SignalState::turn(Relay*& kept) noexcept {
  {
    TinyLock lock(mutex_);
    if (kept_) return false;
    kept_ = true;
  }
  keep_for_then(kept);
  return true;
}

void SignalState::set_turned() noexcept {
  TinyLock lock(mutex_);
  turned_ = true;
}

// --- running -------------------------------------------------------------------------------------------------------------

Callback* SignalState::take_next(Context& me) noexcept {
  Callback* const callback = callbacks_.first();
  if (callback != nullptr) {
    unlink(*callback);
    callback->phase = Callback::Phase::running;
    callback->runner = &me;
  }
  return callback;
}

void SignalState::unlink(Callback& callback) noexcept {
  callbacks_.take_out(callback);
  callback.previous = nullptr;  // which means another thing for one that an executor runs
}

void SignalState::run_functions(Callback* callback) noexcept {
  Context& me = Context::current();
  if (callback == nullptr) {
    TinyLock lock(mutex_);
    callback = take_next(me);
  }
  while (callback != nullptr) {
    Callback& ended = *callback;
    const bool is_librarys = me.care.must_not_block;
    run_one(ended.run);
    if (is_librarys && !me.care.must_not_block) end_forked_process();  // it has called fork(): the other functions are the parent's
    ended.run = nullptr;
    Claimed waiting_removers;
    {
      TinyLock lock(mutex_);
      ended.set_over();
      callback = take_next(me);
      waiting_removers = removers_.take_claimed();
    }
    waiting_removers.finish_all();
    let_go(ended);
  }
}

void SignalState::run_one(absl::AnyInvocable<void()>& function) const noexcept {
  const Aftermath::Function inside(Context::current());
  try {
    function();
  } catch (...) {
    report_failure();
  }
}

void SignalState::report_failure() const noexcept {
  char name[kMaxName + 2];
  write_name(name, sizeof name);
  try {
    log::error("Trigger on Signal.go() failed, and no error function provided: a then() function of \"{}\": {}", name,
               log::describe(std::current_exception()));
  } catch (...) {  // no memory even for that: the functions after it matter more
  }
}

void SignalState::drop_functions() noexcept ABSL_NO_THREAD_SAFETY_ANALYSIS {
  while (Callback* callback = callbacks_.first()) {
    unlink(*callback);
    callback->set_over();
    callback->run = nullptr;
    let_go(*callback);
  }
}

// --- a state that has gone -----------------------------------------------------------------------------------------------

CallbackId SignalState::run_late(absl::AnyInvocable<void()>&& function) {
  Aftermath* const around = Aftermath::here();
  if (around == nullptr || !around->runs_late()) {
    Aftermath::run_late(*this, function);
    return {};
  }
  auto* const callback = new Callback(std::move(function), *this);
  callback->ref();
  CallbackId id(callback, 0);
  ref();
  callback->put_off_by = this;
  around->put_off(*callback);
  return id;
}

void SignalState::run_put_off(Callback& callback) noexcept {
  SignalState& state = *callback.put_off_by;
  bool is_taken_back = false;
  {
    TinyLock lock(state.mutex_);
    is_taken_back = callback.phase == Callback::Phase::over;
    if (!is_taken_back) {
      callback.phase = Callback::Phase::running;
      callback.runner = &Context::current();
    }
  }
  if (!is_taken_back) {
    state.run_one(callback.run);
    callback.run = nullptr;
    Claimed waiting_removers;
    {
      TinyLock lock(state.mutex_);
      callback.set_over();
      waiting_removers = state.removers_.take_claimed();
    }
    waiting_removers.finish_all();
  }
  callback.unref();
  state.unref();
}

// --- remove_then() -------------------------------------------------------------------------------------------------------

bool SignalState::remove_then(const CallbackId& id) {
  if (id == CallbackId()) return false;
  Context::watch(Step::before, "takes a function back from Signal", this, write_name_of);
  Callback* removed = nullptr;
  {
    TinyLock lock(mutex_);
    Callback* const callback = find(id);
    if (callback == nullptr) return false;
    if (callback->phase == Callback::Phase::waiting) {
      removed = callback;
      if (callback->put_off_by == nullptr) unlink(*callback);  // else whoever put it off, or posted it, lets go of it
      callback->set_over();
    } else if (!runs_elsewhere(*callback)) {
      return false;
    }
  }
  if (removed == nullptr) {
    await_callback(id);
    return false;
  }
  removed->run = nullptr;  // `id` keeps it
  if (removed->put_off_by == nullptr) {
    let_go(*removed);
  } else {
    Posting posting;
    {
      TinyLock lock(mutex_);
      posting = take_posting(*removed);
    }
    let_go(posting);
  }
  keep_no_more();
  return true;
}

Callback* SignalState::find(const CallbackId& id) noexcept {
  if (id.callback_ != nullptr) {
    // relaxed: if it is of this state, it was made so, and is over, under the mutex.
    return id.callback_->state.load(std::memory_order_relaxed) == this ? id.callback_ : nullptr;
  }
  if (id.number_ != first_number_) return nullptr;
  Callback& first = first_callback_.value;
  return first.phase == Callback::Phase::over ? nullptr : &first;
}

bool SignalState::runs_elsewhere(const Callback& callback) noexcept {
  return callback.phase == Callback::Phase::running && callback.runner != &Context::current();
}

void SignalState::await_callback(const CallbackId& id) {
  while (true) {
    Wait wait({"waits for a then() function to end, of", this, [](const void* state, char* buffer, std::size_t size) {
                 static_cast<const SignalState*>(state)->write_name(buffer, size);
               }});
    WaitNode node(wait, Why::ready);
    {
      TinyLock lock(mutex_);
      const Callback* const callback = find(id);
      if (callback == nullptr || !runs_elsewhere(*callback)) return;
      removers_.push_back(node);
    }
    absl::Cleanup leave = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      TinyLock lock(mutex_);
      removers_.remove(node);
    };
    wait.park(Limit());
  }
}

}  // namespace mothreads::internal
