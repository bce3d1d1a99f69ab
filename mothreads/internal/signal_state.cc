#include "mothreads/internal/signal_state.h"

#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <optional>

#include <fmt/core.h>

#include "mothreads/internal/aftermath.h"
#include "mothreads/internal/base/printable.h"
#include "mothreads/internal/combination.h"
#include "mothreads/misuse.h"

namespace mothreads::inline v0::internal {

constinit Room<SignalState> ConstantSignals::done{std::in_place, SignalState::Immortal::done};
constinit Room<SignalState> ConstantSignals::expired{std::in_place, SignalState::Immortal::expired};
constinit Room<SignalState> ConstantSignals::never{std::in_place, SignalState::Immortal::never};

constinit std::atomic<std::uint32_t> SignalState::word_of_new_{0};

const char SignalState::kUnnamed[] = "a combination of signals";

// --- life ----------------------------------------------------------------------------------------------------------------

SignalState* SignalState::make() { return new SignalState(Revivable::no); }

// Also of "please_stop for" a thread, or a group, and so of their names.
SignalState* SignalState::make(std::string_view name) {
  if (name.find('\0') != std::string_view::npos) {
    throw Misuse(fmt::format("\"{}\" cannot be the name of a Signal: it has a zero byte, which would end it in every report", printable(name)));
  }
  auto copy = std::make_unique<char[]>(name.size() + 1);
  std::memcpy(copy.get(), name.data(), name.size());
  SignalState* state = new SignalState(Revivable::no);
  state->name_.store(copy.release(), std::memory_order_release);  // pairs with the acquire in write_name()
  state->kept_name_ = KeptName(name);
  return state;
}

SignalState* SignalState::make_owned(std::string_view name, const char* remedy) {
  SignalState* state = make(name);
  state->remedy_ = remedy;
  state->word_.store(0, std::memory_order_relaxed);  // not watched: the library tests them also under its mutexes
  return state;
}

SignalState::~SignalState() {
  const char* name = name_.load(std::memory_order_relaxed);
  if (!immortal_ && name != kUnnamed) delete[] name;
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
  state->next_ = first;
  first = state;
}

void SignalState::destroy(SignalState* state) noexcept ABSL_NO_THREAD_SAFETY_ANALYSIS {
  Dying dying{state};
  state->next_ = nullptr;
  while (SignalState* next = dying.first) {
    dying.first = next->next_;
    next->release_sources(dying);
    if (next->callbacks_.is_empty()) {
      delete next;
    } else {
      Aftermath::destroy_with_functions(*next);  // what the functions hold may be the last handle of others
    }
  }
}

void SignalState::release_sources(Dying& dying) noexcept {
  // Combinations that keep this state would have kept it from dying: those that are left are kept by it.
  while (true) {
    Relay* relay = nullptr;
    {
      TinyLock lock(mutex_);
      relay = relays_.first();
      if (relay == nullptr) return;
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

void SignalState::refuse_go() const {
  char name[kMaxName + 2];
  write_name(name, sizeof name);
  throw Misuse(fmt::format("go() on the Signal \"{}\", which only the library lets go: {}", name, remedy_));
}

bool SignalState::go(std::uint32_t flags) {
  if (never_) return false;
  if (const std::uint32_t word = word_.load(std::memory_order_acquire); word != 0) [[unlikely]] {  // as is_gone()
    return (word & kGone) == 0 && go_watched(flags);
  }
  Context& me = Context::current();
  Aftermath* const around = me.aftermath;
  Relay* relays = nullptr;
  Relay** end = &relays;
  Fired mine;
  if (!fire(flags, end, mine, around == nullptr ? &me : nullptr)) return false;
  if (!mine.held) return true;  // a waiter that was released may have dropped the last handle to this

  // Every waiter on everything that goes is released before the first function runs.
  leave_sources();
  SignalState* fired = nullptr;
  SignalState** last_fired = &fired;
  SignalState* others = nullptr;  // without functions: the relays that hang on them are still to be passed
  while (Relay* relay = relays) {
    relays = relay->next;
    if (relays == nullptr) end = &relays;
    SignalState* const output = relay->output;
    Fired its;
    if (!pass_on(*relay, flags, end, its)) continue;
    if (its.has_functions) {
      output->next_ = nullptr;
      *last_fired = output;
      last_fired = &output->next_;
    } else {
      output->next_ = std::exchange(others, output);
    }
  }
  while (SignalState* state = others) {
    others = state->next_;
    state->unref();
  }

  std::optional<Aftermath> here;  // of the outermost; others leave the functions to it
  const bool has_work = mine.has_functions || fired != nullptr;
  Aftermath* const aftermath = around != nullptr ? around : has_work ? &here.emplace() : nullptr;
  const bool is_put_off = mine.has_functions && around != nullptr;
  if (is_put_off) aftermath->add_gone(*this);
  while (SignalState* state = fired) {
    fired = state->next_;
    aftermath->add_gone(*state);
  }
  if (mine.first != nullptr) run_functions(mine.first);
  if (!is_put_off) unref();
  return true;
}

// A signal that has gone is watched no more: what comes after is not in doubt.
bool SignalState::go_watched(std::uint32_t flags) {
  const bool is_watched = (flags & kByUser) != 0 && Context::watch(Step::before, "lets go Signal", this, write_name_of);
  word_.fetch_and(~kWatched, std::memory_order_relaxed);
  const bool has_gone = go(flags);
  if (is_watched) Context::watch(Step::after);
  return has_gone;
}

bool SignalState::test_watched() const noexcept {
  Context::watch(Step::comes, "tests Signal", this, write_name_of);
  Context::watch(Step::after);  // which may make it gone
  return false;
}

void SignalState::watch_new(bool on) noexcept {
  static constinit std::atomic<int> watchers{0};
  const int now = watchers.fetch_add(on ? 1 : -1, std::memory_order_relaxed) + (on ? 1 : -1);
  word_of_new_.store(now > 0 ? kWatched : 0, std::memory_order_relaxed);
}

bool SignalState::pass_on(Relay& relay, std::uint32_t flags, Relay**& end, Fired& its) {
  Combination& output = *relay.output;
  {
    TinyLock lock(output.mutex_);
    if (!relay.output_owns_input) relay.input = nullptr;  // it may be gone before the output is
  }
  const bool has_gone = output.input_went() && static_cast<SignalState&>(output).fire(flags, end, its, nullptr);
  if (has_gone) output.leave_sources();
  output.unref();  // one is enough
  return its.held;
}

bool SignalState::fire(std::uint32_t flags, Relay**& end, Fired& fired, Context* runner) {
  Claimed claimed;
  {
    TinyLock lock(mutex_);
    if (is_gone()) return false;
    fired.has_functions = !callbacks_.is_empty();
    fired.held = fired.has_functions || !relays_.is_empty();
    if (fired.held) ref();
    word_.store(kGone | flags, std::memory_order_release);  // pairs with is_gone()
    claimed = waiters_.take_claimed();
    while (Relay* relay = relays_.first()) {
      const bool owned = relay->input_owns_output;
      unlink_relay(*relay);
      if (!owned && !relay->output->ref_unless_dying()) continue;
      relay->next = nullptr;
      *end = relay;
      end = &relay->next;
    }
    if (runner != nullptr) fired.first = take_next(*runner);
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

// --- what combinations hang on -------------------------------------------------------------------------------------------

std::uint32_t SignalState::link_relay(Relay& relay) {
  if (never_) return 0;
  TinyLock lock(mutex_);
  const std::uint32_t word = word_.load(std::memory_order_acquire);
  if ((word & kGone) != 0) return word;
  relay.linked = true;
  relays_.push_back(relay);
  return 0;
}

void SignalState::unlink_relay(Relay& relay) {
  relays_.take_out(relay);
  relay.linked = false;
  relay.input_owns_output = false;
}

}  // namespace mothreads::internal
