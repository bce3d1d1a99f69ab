#include "mothreads/internal/signal_state.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>

#include "absl/cleanup/cleanup.h"
#include "mothreads/contexts/spin.h"
#include "mothreads/log.h"
#include "mothreads/misuse.h"
#include "mothreads/until.h"

namespace mothreads::internal {

constinit Room<SignalState> ConstantSignals::done{std::in_place, SignalState::Immortal::done};
constinit Room<SignalState> ConstantSignals::expired{std::in_place, SignalState::Immortal::expired};
constinit Room<SignalState> ConstantSignals::never{std::in_place, SignalState::Immortal::never};

// --- life ----------------------------------------------------------------------------------------------------------------

SignalState* SignalState::make() { return new SignalState(Revivable::no); }

SignalState* SignalState::make(std::string_view name) {
  SignalState* state = new SignalState(Revivable::no);
  char* copy = new char[name.size() + 1];
  std::memcpy(copy, name.data(), name.size());
  copy[name.size()] = '\0';
  state->name_.store(copy, std::memory_order_release);  // pairs with the acquire in write_name()
  return state;
}

SignalState::~SignalState() {
  if (!immortal_) delete[] name_.load(std::memory_order_relaxed);
  while (Callback* callback = callbacks_) {
    callbacks_ = callback->next;
    discard(callback);
  }
}

bool SignalState::ref_unless_dying() noexcept {
  std::uint32_t references = references_.load(std::memory_order_relaxed);
  do {
    if (references == 0) return false;
    // relaxed: the caller holds the mutex of the list that it found this state in, and the state leaves it under that mutex.
  } while (!references_.compare_exchange_weak(references, references + 1, std::memory_order_relaxed));
  return true;
}

void SignalState::Dying::add_if_last(SignalState* state) noexcept {
  if (state->immortal_ || state->references_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;  // as in unref()
  state->next_fired_ = first;
  first = state;
}

void SignalState::destroy(SignalState* state) noexcept {
  Dying dying{state};
  state->next_fired_ = nullptr;
  while (SignalState* next = dying.first) {
    dying.first = next->next_fired_;
    next->release_sources(dying);
    delete next;
  }
}

void SignalState::release_sources(Dying& dying) noexcept {
  // Combinations that keep this state would have kept it from dying: those that are left are kept by it.
  while (true) {
    Relay* relay = nullptr;
    {
      TinyLock lock(mutex_);
      if (relays_ == nullptr) return;
      relay = relays_;
      unlink_relay(*relay);
    }
    SignalState* output = relay->output;
    {
      TinyLock lock(output->mutex_);
      relay->input = nullptr;
    }
    dying.add_if_last(output);
  }
}

void SignalState::write_name(char* buffer, std::size_t size, int) const {
  const char* name = name_.load(std::memory_order_acquire);
  std::snprintf(buffer, size, "%s", name != nullptr ? name : "anonymous signal");
}

// --- going ---------------------------------------------------------------------------------------------------------------

bool SignalState::go(std::uint32_t flags) {
  if (never_ || is_gone()) return false;
  Relay* relays = nullptr;
  Relay** end = &relays;
  Fired mine;
  if (!fire(flags, end, mine)) return false;

  std::vector<SignalState*> left;
  if (mine.held) leave_sources(left);  // else a waiter that was released may have dropped the last handle to this

  // Every waiter on everything that goes is released before the first function runs.
  SignalState* fired = nullptr;
  SignalState** last_fired = &fired;
  while (Relay* relay = relays) {
    relays = relay->next;
    if (relays == nullptr) end = &relays;
    SignalState& output = *relay->output;
    {
      TinyLock lock(output.mutex_);
      if (!relay->output_owns_input) relay->input = nullptr;  // it may be gone before the output is
    }
    if (output.input_went() && output.fire(flags, end, output.fired_)) {
      output.leave_sources(left);
      output.next_fired_ = nullptr;
      *last_fired = &output;
      last_fired = &output.next_fired_;
    } else {
      output.unref();
    }
  }
  if (mine.callback != nullptr) run_callbacks(mine.callback);
  if (mine.held) unref();
  while (SignalState* state = fired) {
    fired = state->next_fired_;
    const Fired todo = std::exchange(state->fired_, Fired{});
    if (todo.callback != nullptr) state->run_callbacks(todo.callback);
    if (todo.held) state->unref();
    state->unref();
  }
  leave_the_unseen(left);
  return true;
}

bool SignalState::fire(std::uint32_t flags, Relay**& end, Fired& fired) {
  Context& me = Context::current();
  Claimed claimed;
  {
    TinyLock lock(mutex_);
    if (is_gone()) return false;
    if (callbacks_ != nullptr || relays_ != nullptr) {
      ref();
      fired.held = true;
    }
    word_.store(kGone | flags, std::memory_order_release);  // pairs with is_gone()
    claimed = waiters_.take_claimed();
    while (Relay* relay = relays_) {
      const bool owned = relay->input_owns_output;
      unlink_relay(*relay);
      if (!owned && !relay->output->ref_unless_dying()) continue;
      relay->next = nullptr;
      *end = relay;
      end = &relay->next;
    }
    fired.callback = start_next_callback(me);
  }
  claimed.finish_all();
  return true;
}

// --- waiting -------------------------------------------------------------------------------------------------------------

bool SignalState::link(WaitNode& node) {
  if (never_) return true;
  if (is_gone()) return false;
  TinyLock lock(mutex_);
  if (is_gone()) return false;
  waiters_.push_back(node);
  return true;
}

void SignalState::unlink(WaitNode& node) noexcept {
  if (immortal_) return;
  TinyLock lock(mutex_);
  waiters_.remove(node);
}

// --- functions -----------------------------------------------------------------------------------------------------------

std::uint64_t SignalState::then(absl::AnyInvocable<void()> function) {
  if (!function) throw Misuse("Signal::then was given an empty function: give it one that can be called");
  if (never_) return 0;
  if (is_gone()) {
    run_one(function);
    return 0;
  }
  // The function is moved into its place before the mutex is taken: its move is the user's code.
  Callback* callback = nullptr;
  // relaxed: the flag only says whose the room is; the mutex publishes what is in it.
  if (!first_callback_taken_.load(std::memory_order_relaxed) &&
      !first_callback_taken_.exchange(true, std::memory_order_relaxed)) {
    callback = new (&first_callback_.value) Callback(std::move(function));
  } else {
    callback = new Callback(std::move(function));
  }
  std::uint64_t number = 0;
  {
    TinyLock lock(mutex_);
    if (!is_gone()) {
      number = callback->number = next_number_++;
      (callbacks_ == nullptr ? callbacks_ : last_callback_->next) = callback;
      last_callback_ = callback;
      if (!revivable_ || kept_) return number;
    }
  }
  if (number == 0) {
    run_one(callback->run);
    discard(callback);
    return 0;
  }
  keep();
  if (is_gone()) {
    // It fired meanwhile, perhaps before all was kept.
    std::vector<SignalState*> left;
    leave_sources(left);
    leave_the_unseen(left);
  }
  return number;
}

void SignalState::discard(Callback* callback) noexcept {
  if (callback == &first_callback_.value) {
    callback->~Callback();
  } else {
    delete callback;
  }
}

void SignalState::keep() {
  std::vector<SignalState*> to_turn{this};
  std::vector<SignalState*> kept_before;
  for (std::size_t i = 0; i < to_turn.size(); ++i) {
    SignalState* state = to_turn[i];
    {
      TinyLock lock(state->mutex_);
      if (state->kept_) continue;
      state->kept_ = true;
    }
    const std::size_t already = kept_before.size();
    state->keep_for_then(kept_before);
    to_turn.insert(to_turn.end(), kept_before.begin() + static_cast<std::ptrdiff_t>(already), kept_before.end());
    TinyLock lock(state->mutex_);
    state->turned_ = true;
  }
  // What they led to may have gone meanwhile, and left them to nobody.
  leave_the_unseen(kept_before);
}

Callback* SignalState::start_next_callback(Context& me) {
  Callback* callback = callbacks_;
  if (callback != nullptr) {
    callbacks_ = callback->next;
    running_ = callback->number;
    runner_ = &me;
  } else {
    running_ = 0;
    runner_ = nullptr;
  }
  return callback;
}

void SignalState::run_callbacks(Callback* callback) {
  while (callback != nullptr) {
    run_one(callback->run);
    discard(callback);
    Claimed waiting_removers;
    {
      TinyLock lock(mutex_);
      callback = start_next_callback(Context::current());
      waiting_removers = removers_.take_claimed();
    }
    waiting_removers.finish_all();
  }
}

void SignalState::run_one(absl::AnyInvocable<void()>& function) const noexcept {
  Context& context = Context::current();
  ++context.callbacks_running;
  try {
    function();
  } catch (...) {
    char name[kMaxName + 2];
    write_name(name, sizeof name);
    log::error("Trigger on Signal.go() failed, and no error function provided: a then() function of \"{}\": {}", name,
               log::describe(std::current_exception()));
  }
  --context.callbacks_running;
}

bool SignalState::remove_then(std::uint64_t number) {
  if (number == 0) return false;
  Callback* removed = nullptr;
  {
    TinyLock lock(mutex_);
    removed = take_callback(number);
    if (removed == nullptr && !runs_elsewhere(number)) return false;
  }
  if (removed == nullptr) {
    await_callback(number);
    return false;
  }
  discard(removed);
  return true;
}

Callback* SignalState::take_callback(std::uint64_t number) {
  Callback* before = nullptr;
  Callback* callback = callbacks_;
  while (callback != nullptr && callback->number != number) {
    before = callback;
    callback = callback->next;
  }
  if (callback == nullptr) return nullptr;
  (before == nullptr ? callbacks_ : before->next) = callback->next;
  if (last_callback_ == callback) last_callback_ = before;
  return callback;
}

bool SignalState::runs_elsewhere(std::uint64_t number) const {
  return running_ == number && runner_ != &Context::current();
}

void SignalState::await_callback(std::uint64_t number) {
  while (true) {
    Wait wait({"waits for a then() function to end, of", this, [](const void* state, char* buffer, std::size_t size) {
                 static_cast<const SignalState*>(state)->write_name(buffer, size);
               }});
    WaitNode node(wait, Why::ready);
    {
      TinyLock lock(mutex_);
      if (!runs_elsewhere(number)) return;
      removers_.push_back(node);
    }
    absl::Cleanup leave = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      TinyLock lock(mutex_);
      removers_.remove(node);
    };
    wait.park(Until());
  }
}

// --- combinations --------------------------------------------------------------------------------------------------------

std::uint32_t SignalState::link_relay(Relay& relay) {
  if (never_) return 0;
  TinyLock lock(mutex_);
  const std::uint32_t word = word_.load(std::memory_order_acquire);
  if ((word & kGone) != 0) return word;
  relay.linked = true;
  if (relays_ == nullptr) {
    relays_ = relay.previous = relay.next = &relay;
  } else {
    relay.next = relays_;
    relay.previous = relays_->previous;
    relay.previous->next = &relay;
    relays_->previous = &relay;
  }
  return 0;
}

void SignalState::unlink_relay(Relay& relay) {
  if (relay.next == &relay) {
    relays_ = nullptr;
  } else {
    relay.previous->next = relay.next;
    relay.next->previous = relay.previous;
    if (relays_ == &relay) relays_ = relay.next;
  }
  relay.linked = false;
  relay.input_owns_output = false;
  relay.previous = relay.next = nullptr;
}

SignalState* Combination::make(std::span<SignalState* const> inputs, bool all) {
  void* memory = ::operator new(sizeof(Combination) + inputs.size() * sizeof(Relay));
  Combination* made = new (memory) Combination(inputs.size(), all);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    inputs[i]->ref();
    Relay* relay = new (made->relays() + i) Relay;
    relay->output = made;
    relay->input = inputs[i];
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const std::uint32_t word = inputs[i]->link_relay(made->relays()[i]);
    if (word != 0 && made->input_went()) made->go(word & ~kGone);
  }
  return made;
}

void Combination::operator delete(void* memory) noexcept { ::operator delete(memory); }

bool Combination::input_went() noexcept {
  if (!all_) return true;
  // acq_rel: who takes the last one sees what happened before every other input went.
  return remaining_.fetch_sub(1, std::memory_order_acq_rel) == 1;
}

void Combination::release_sources(Dying& dying) noexcept {
  SignalState::release_sources(dying);
  for (std::size_t i = 0; i < inputs_; ++i) {
    Relay& relay = relays()[i];
    if (!relay.output_owns_input) continue;  // the input may be gone; it let go of this relay
    {
      TinyLock lock(relay.input->mutex_);
      if (relay.linked) relay.input->unlink_relay(relay);
    }
    dying.add_if_last(relay.input);
  }
}

void SignalState::leave_the_unseen(std::vector<SignalState*>& left) {
  while (!left.empty()) {
    SignalState* state = left.back();
    left.pop_back();
    state->leave_if_unseen(left);
    state->unref();
  }
}

void Combination::leave_sources(std::vector<SignalState*>& left) {
  for (std::size_t i = 0; i < inputs_; ++i) {
    Relay& relay = relays()[i];
    bool was_owned = false;
    SignalState* to_look_at = nullptr;
    {
      TinyLock lock(mutex_);
      if (relay.output_owns_input || relay.input == nullptr) continue;
      // The input is there: before it goes away it takes itself out of the relay, under the mutex held here.
      TinyLock input_lock(relay.input->mutex_);
      if (relay.linked) {
        was_owned = relay.input_owns_output;
        relay.input->unlink_relay(relay);
        if (relay.input->revivable_ && relay.input->ref_unless_dying()) to_look_at = relay.input;
      }
      relay.input = nullptr;
    }
    if (was_owned) unref();  // the caller has a reference
    if (to_look_at != nullptr) left.push_back(to_look_at);
  }
}

void Combination::leave_if_unseen(std::vector<SignalState*>& left) {
  {
    TinyLock lock(mutex_);
    if (!is_of_no_use()) return;
    // With no reference but its inputs' and the caller's, nobody can get one any more.
    std::uint32_t known = 1;
    for (std::size_t i = 0; i < inputs_; ++i) {
      const Relay& relay = relays()[i];
      if (relay.output_owns_input || relay.input == nullptr) continue;
      TinyLock input_lock(relay.input->mutex_);
      if (relay.linked && relay.input_owns_output) ++known;
    }
    if (references_.load(std::memory_order_acquire) != known) return;
  }
  leave_sources(left);
}

void Combination::keep_for_then(std::vector<SignalState*>& kept_before) {
  char text[kMaxName + 2];
  SignalState::write_name(text, sizeof text);
  const std::string_view name(text);
  char* copy = new char[name.size() + 1];
  std::memcpy(copy, text, name.size() + 1);
  for (std::size_t i = 0; i < inputs_; ++i) {
    Relay& relay = relays()[i];
    TinyLock lock(mutex_);
    {
      TinyLock input_lock(relay.input->mutex_);  // owned by this until the next lines
      if (!relay.linked) continue;
      relay.input_owns_output = true;
      ref();
    }
    relay.output_owns_input = false;
    if (copy != nullptr) name_.store(std::exchange(copy, nullptr), std::memory_order_release);  // pairs with write_name()
    kept_before.push_back(relay.input);
  }
  delete[] copy;
}

void Combination::write_name(char* buffer, std::size_t size, int depth) const {
  if (name_.load(std::memory_order_acquire) != nullptr) return SignalState::write_name(buffer, size, depth);
  constexpr int kMaxDepth = 4;
  constexpr std::size_t kMaxInputs = 5;
  constexpr int kLooks = 100'000;  // far longer than anybody holds it
  const std::size_t limit = std::min(size, kMaxName + 2);  // one more than is shown, to see whether there is more
  std::size_t used = 0;
  const auto add = [&](const char* text) {
    used += static_cast<std::size_t>(std::snprintf(buffer + used, limit - used, "%s", text));
    used = std::min(used, limit - 1);
  };
  buffer[0] = '\0';
  {
    // Not for ever: a report may have interrupted this very thread while it holds the mutex.
    bool is_held = mutex_.try_lock();
    for (int i = 0; !is_held && i < kLooks; ++i) {
      spin_pause();
      is_held = mutex_.try_lock();
    }
    if (!is_held) return add("a combination of signals");
    const absl::Cleanup leave = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { mutex_.unlock(); };  // the inputs stay until then
    if (name_.load(std::memory_order_acquire) == nullptr) {
      const std::size_t shown = inputs_ > kMaxInputs ? 1 : inputs_;
      for (std::size_t i = 0; i < shown; ++i) {
        if (i > 0) add(all_ ? " & " : " | ");
        if (depth >= kMaxDepth) {
          add("...");
          break;
        }
        relays()[i].input->write_name(buffer + used, limit - used, depth + 1);
        used += std::strlen(buffer + used);
      }
      if (inputs_ > shown) {
        char rest[48];
        std::snprintf(rest, sizeof rest, " %c (%zu other signals)", all_ ? '&' : '|', inputs_ - shown);
        add(rest);
      }
      // What fills a smaller room to the end counts as cut.
      const std::size_t shown_length = std::min(limit - 2, kMaxName);
      if (used > shown_length && shown_length > 3) std::strcpy(buffer + shown_length - 3, "...");
      return;
    }
  }
  SignalState::write_name(buffer, size, depth);
}

}  // namespace mothreads::internal
