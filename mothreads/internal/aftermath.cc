#include "mothreads/internal/aftermath.h"

#include <utility>

#include "mothreads/internal/signal_state.h"

namespace mothreads::inline v0::internal {
namespace {

// Of a thread without a context, as one is that drops its last handles at its very end.
constinit thread_local Aftermath* without_context = nullptr;

Aftermath*& place(Context* context) noexcept { return context != nullptr ? context->aftermath : without_context; }

}  // namespace

Aftermath* Aftermath::here() noexcept { return place(Context::current_or_null()); }

Aftermath::Aftermath() noexcept : context_(Context::current_or_null()) {
  place(context_) = this;
  if (context_ != nullptr) context_->care.callbacks_running += Context::kHasAftermath;
}

Aftermath::~Aftermath() {
  work();
  if (context_ != nullptr) context_->care.callbacks_running -= Context::kHasAftermath;
  place(context_) = nullptr;
}

void Aftermath::add_gone(SignalState& state) noexcept {
  state.next_ = nullptr;
  (gone_ == nullptr ? gone_ : last_gone_->next_) = &state;
  last_gone_ = &state;
}

void Aftermath::put_off(Callback& callback) noexcept {
  callback.next = nullptr;
  (late_ == nullptr ? late_ : last_late_->next) = &callback;
  last_late_ = &callback;
}

void Aftermath::run_late(SignalState& state, absl::AnyInvocable<void()>& function) noexcept {
  Aftermath* const around = here();
  if (around == nullptr) {
    Aftermath mine;
    return run_late(state, function);
  }
  around->runs_late_ = true;
  state.run_one(function);
  function = nullptr;
  while (Callback* callback = around->late_) {
    around->late_ = callback->next;
    SignalState::run_put_off(*callback);
  }
  around->runs_late_ = false;
}

void Aftermath::destroy_with_functions(SignalState& state) noexcept {
  Aftermath* const around = here();
  if (around == nullptr) {
    Aftermath mine;
    return destroy_with_functions(state);
  }
  state.next_ = around->dying_;
  around->dying_ = &state;
  if (!around->destroys_) around->destroy_all();
}

void Aftermath::destroy_all() noexcept {
  destroys_ = true;
  while (SignalState* state = dying_) {
    dying_ = state->next_;
    state->drop_functions();
    delete state;
  }
  destroys_ = false;
}

void Aftermath::work() noexcept {
  while (true) {
    if (dying_ != nullptr) {
      destroy_all();
    } else if (Callback* callback = late_) {
      late_ = callback->next;
      SignalState::run_put_off(*callback);
    } else if (SignalState* state = gone_) {
      gone_ = state->next_;
      state->run_functions(nullptr);
      state->unref();
    } else {
      return;
    }
  }
}

void Aftermath::work_before_wait(bool is_armed) noexcept {
  // What the function that waits is itself a part of goes on when it returns.
  const bool destroyed = std::exchange(destroys_, false);
  const bool ran_late = std::exchange(runs_late_, false);
  const bool was_armed = std::exchange(is_armed_, is_armed);
  ++waits_;
  work();
  --waits_;
  is_armed_ = was_armed;
  runs_late_ = ran_late;
  destroys_ = destroyed;
}

Aftermath::Function::Function(Context& context) noexcept
    : context_(context), around_(context.aftermath), destroyed_(around_ != nullptr && std::exchange(around_->destroys_, false)) {
  ++context_.care.callbacks_running;
}

Aftermath::Function::~Function() {
  --context_.care.callbacks_running;
  if (around_ != nullptr) around_->destroys_ = destroyed_;
}

}  // namespace mothreads::internal
