#include "mothreads/internal/combination.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <new>

#include "absl/cleanup/cleanup.h"
#include "mothreads/internal/base/spin.h"

namespace mothreads::inline v0::internal {

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
    if (word != 0 && made->input_went()) made->go(word & kTimed);
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
    if (relay.input->revivable_) relay.input->keep_no_more();  // as it was for another's function, which needs it no more
    dying.add_if_last(relay.input);
  }
}

void Combination::leave_sources() noexcept {
  for (std::size_t i = 0; i < inputs_; ++i) {
    Relay& relay = relays()[i];
    bool was_owned = false;
    SignalState* kept_for_this = nullptr;
    {
      TinyLock lock(mutex_);
      if (relay.output_owns_input || relay.input == nullptr) continue;
      // The input is there: before it goes away it takes itself out of the relay, under the mutex held here.
      TinyLock input_lock(relay.input->mutex_);
      if (!relay.linked) continue;  // the input goes, or goes away
      was_owned = relay.input_owns_output;
      relay.input->unlink_relay(relay);
      if (relay.input->revivable_ && relay.input->ref_unless_dying()) kept_for_this = relay.input;
      relay.input = nullptr;
    }
    if (was_owned) unref();  // the caller has a reference
    if (kept_for_this == nullptr) continue;
    kept_for_this->keep_no_more();
    kept_for_this->unref();
  }
}

void Combination::keep_no_more() noexcept {
  TinyLock lock(mutex_);
  if (!is_kept_for_nothing()) return;
  kept_ = turned_ = false;
  for (std::size_t i = 0; i < inputs_; ++i) {
    Relay& relay = relays()[i];
    if (relay.output_owns_input || relay.input == nullptr) continue;
    TinyLock input_lock(relay.input->mutex_);
    if (!relay.linked || !relay.input_owns_output || !relay.input->ref_unless_dying()) continue;  // it lets go of this itself
    relay.input_owns_output = false;
    relay.output_owns_input = true;
    unref();  // the caller has a reference
  }
}

void Combination::keep_for_then(Relay*& kept) noexcept {
  char text[kMaxName + 2];
  SignalState::write_name(text, sizeof text);
  const std::size_t size = std::strlen(text) + 1;
  const char* name = kUnnamed;  // where there is no memory: a name is not worth a failure
  char* copy = new (std::nothrow) char[size];
  if (copy != nullptr) name = static_cast<const char*>(std::memcpy(copy, text, size));
  for (std::size_t i = 0; i < inputs_; ++i) {
    Relay& relay = relays()[i];
    TinyLock lock(mutex_);
    if (!relay.output_owns_input) continue;  // an input that was just going away when this was turned back
    {
      TinyLock input_lock(relay.input->mutex_);  // owned by this until the next lines
      if (!relay.linked) continue;
      relay.input_owns_output = true;
      ref();
    }
    relay.output_owns_input = false;
    if (name_.load(std::memory_order_relaxed) == nullptr) {
      name_.store(name, std::memory_order_release);  // pairs with write_name()
      copy = nullptr;
    }
    relay.kept = relay.input;
    relay.next_kept = kept;
    kept = &relay;
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
