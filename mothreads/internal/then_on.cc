#include "mothreads/internal/then_on.h"

// A function that an executor runs has two callbacks:
//
//     posting    in the list of the state, and run by go() as all there are: it posts
//     posted     has the function, and is what the ThenId names. It is in no list; a Poster keeps it, in the posting one, and then a
//                Delivery, in the hands of the executor. Only the Delivery refers to the state, which has gone by then. Where nobody has
//                a ThenId any more when the Signal goes, the executor gets the function alone.
//
// So go() and what runs functions in line know nothing of executors. Whoever ends the posted one, under the mutex, takes the posting one
// from it: who runs it, who takes it back, and whoever destroys it because it cannot run any more.

#include <cxxabi.h>

#include <exception>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "mothreads/executor.h"
#include "mothreads/internal/signal_state.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"

namespace mothreads::inline v0::internal {

// The function that the executor is given. Destroyed without having been called, a Delivery destroys the function.
class Delivery {
 public:
  // Takes over a reference to the callback, and to its state.
  explicit Delivery(Callback& posted) noexcept : posted_(&posted) {}
  Delivery(Delivery&& other) noexcept : posted_(std::exchange(other.posted_, nullptr)) {}
  Delivery& operator=(Delivery&&) = delete;
  ~Delivery() {
    if (posted_ == nullptr) return;
    SignalState& state = *posted_->put_off_by;
    SignalState::drop_posted(*posted_);
    state.unref();
  }

  void operator()() {
    if (posted_ != nullptr) SignalState::run_posted(*std::exchange(posted_, nullptr));
  }

 private:
  Callback* posted_;
};

// The function that go() calls. Destroyed without having been called, a Poster destroys the user's function, which cannot run any more, or was
// taken back.
class Poster {
 public:
  // Takes over a reference to the callback.
  Poster(Callback& posted, const Executor& executor) noexcept : posted_(&posted), executor_(executor) {}
  Poster(Poster&& other) noexcept : posted_(std::exchange(other.posted_, nullptr)), executor_(std::move(other.executor_)) {}
  Poster& operator=(Poster&&) = delete;
  ~Poster() {
    if (posted_ != nullptr) SignalState::drop_posted(*posted_);
  }

  void operator()() {
    SignalState& state = *posted_->put_off_by;  // which whoever calls this keeps
    absl::AnyInvocable<void()> function;
    // acquire: what the last owner of a ThenId did comes before. Without one nobody can take the function back, so it goes as it is, and the
    // executor's thread need not fetch what this one has just written.
    if (posted_->references.load(std::memory_order_acquire) == 1) {
      function = std::move(posted_->run);
    } else {
      state.ref();
      function = Delivery(*std::exchange(posted_, nullptr));
    }
    if (!function) return;  // it was taken back meanwhile
    if (const Posted taken = executor_.post(std::move(function)); !taken) state.report_refused(executor_, taken.why());
  }

 private:
  Callback* posted_;
  Executor executor_;
};

// Both lie inside an AnyInvocable.
static_assert(sizeof(Poster) <= 2 * sizeof(void*) && sizeof(Delivery) <= 2 * sizeof(void*));

CallbackId SignalState::then_on(const Executor& executor, absl::AnyInvocable<void()> function) {
  if (!function) throw Misuse("Signal::then was given an empty function: give it one that can be called");
  if (never_) return {};
  auto* const posted = new Callback(std::move(function), *this);
  CallbackId id(posted, 0);
  posted->put_off_by = this;
  posted->ref();
  absl::AnyInvocable<void()> poster{Poster(*posted, executor)};
  if (is_gone()) {
    run_one(poster);
    return id;
  }
  const CallbackId in_list = then(std::move(poster));
  Callback* const posting = in_list.number_ != 0 ? &first_callback_.value : in_list.callback_;
  if (posting == nullptr) return id;  // it has posted already
  const TinyLock lock(mutex_);
  if (posted->phase == Callback::Phase::waiting) {
    if (in_list.callback_ != nullptr) posting->ref();  // the room of the state needs none
    posted->previous = posting;
  }
  return id;
}

SignalState::Posting SignalState::take_posting(Callback& posted) noexcept {
  Posting posting{.callback = std::exchange(posted.previous, nullptr)};
  if (posting.callback == nullptr) return posting;
  posting.was_in_list = posting.callback->phase == Callback::Phase::waiting && posting.callback->put_off_by == nullptr;
  if (posting.was_in_list) {
    unlink(*posting.callback);
    posting.callback->set_over();
  }
  return posting;
}

void SignalState::let_go(const Posting& posting) noexcept {
  if (posting.callback == nullptr) return;
  if (posting.was_in_list) {
    posting.callback->run = nullptr;
    let_go(*posting.callback);
  }
  let_go(*posting.callback);
}

// On the executor's thread. What the function throws, or its unwinding, is the executor's.
void SignalState::run_posted(Callback& posted) {
  SignalState& state = *posted.put_off_by;
  const absl::Cleanup let_go_last = [&] {
    posted.unref();
    state.unref();
  };
  Context& me = Context::current();
  {
    const TinyLock lock(state.mutex_);
    if (posted.phase != Callback::Phase::waiting) return;  // it was taken back
    posted.phase = Callback::Phase::running;
    posted.runner = &me;
  }
  const absl::Cleanup end = [&]() noexcept {
    posted.run = nullptr;
    Posting posting;
    Claimed waiting_removers;
    {
      const TinyLock lock(state.mutex_);
      posted.set_over();
      posting = state.take_posting(posted);
      waiting_removers = state.removers_.take_claimed();
    }
    waiting_removers.finish_all();
    state.let_go(posting);
  };
  posted.run();
}

// Takes over a reference to it.
void SignalState::drop_posted(Callback& posted) noexcept {
  SignalState& state = *posted.put_off_by;
  bool was_waiting = false;
  Posting posting;
  {
    const TinyLock lock(state.mutex_);
    was_waiting = posted.phase == Callback::Phase::waiting;
    if (was_waiting) {
      posted.set_over();
      posting = state.take_posting(posted);
    }
  }
  if (was_waiting) posted.run = nullptr;
  state.let_go(posting);
  posted.unref();
}

void SignalState::report_refused(const Executor& executor, Why why) const noexcept {
  char name[kMaxName + 2];
  write_name(name, sizeof name);
  try {
    log::warning("The Signal \"{}\" has gone, but {} is {}: a then() function for it is lost", name, executor.name(), to_string(why));
  } catch (...) {  // no memory even for that
  }
}

absl::AnyInvocable<void()> with_error_function(absl::AnyInvocable<void()> function,
                                               absl::AnyInvocable<void(std::exception_ptr)> on_error) {
  if (!function || !on_error) throw Misuse("Signal::then was given an empty function: give it one that can be called");
  return [f = std::move(function), e = std::move(on_error)]() mutable {
    std::exception_ptr failure;
    try {
      f();
    } catch (const std::exception&) {
      failure = std::current_exception();
    } catch (abi::__forced_unwind&) {
      throw;  // pthread_exit()
    } catch (...) {
      if (Context::current().care.unwind_wanted) throw;  // a fiber is cancelled
      failure = std::current_exception();
    }
    if (failure) e(std::move(failure));  // out here, where it may wait
  };
}

}  // namespace mothreads::internal
