#include "mothreads/internal/wait/context.h"

#include <cstdio>

#include "absl/cleanup/cleanup.h"
#include "mothreads/clock.h"
#include "mothreads/internal/base/kept_name.h"
#include "mothreads/internal/base/spin.h"
#include "mothreads/internal/wait/host.h"

namespace mothreads::inline v0::internal {

static_assert(Context::kNameBits == KeptName::kNumberBits);

Context::Context() : clock(&Clock::steady()) {}

bool Context::claim(std::uint64_t generation) noexcept {
  if (host != nullptr && host->is_left_behind) [[unlikely]] return false;
  std::uint64_t word = word_.load(std::memory_order_relaxed);
  do {
    if (word >> kGenerationShift != generation || (word & kClaimed) != 0) return false;
    // acq_rel: acquire pairs with the waiter's SLEEPING, release with a waiter that sees CLAIMED in await_claimed().
  } while (!word_.compare_exchange_weak(word, word | kClaimed, std::memory_order_acq_rel, std::memory_order_relaxed));
  return true;
}

void Context::finish(Why why) noexcept {
  outcome_ = why;
  // release pairs with the acquire in is_done(); acquire with the waiter's setting of SLEEPING.
  const std::uint64_t before = word_.fetch_or(kDone, std::memory_order_acq_rel);
  if ((before & kOnHost) != 0) {
    resume_on_host();
  } else if ((before & kSleeping) != 0) {
    resume();
  }
}

void Context::nudge() noexcept {
  // acq_rel: as in finish(). Whoever sees the flags makes it go on, and takes them from the other.
  const std::uint64_t before = word_.fetch_and(~(kSleeping | kOnHost), std::memory_order_acq_rel);
  if ((before & kDone) != 0) return;
  if ((before & kOnHost) != 0) {
    resume_on_host();
  } else if ((before & kSleeping) != 0) {
    resume();
  }
}

void Context::resume_on_host() noexcept { host->resume(*this); }

// Some contexts are another's than of that host: those have no turns.
bool Context::end_turn_here(bool unwinds, const char* verb, const void* object, WriteName write_name) {
  Host* const host = current_ == nullptr ? nullptr : current_->host;
  if (host != turn_here_ || host == nullptr) return false;
  const bool is_watched = host->is_watched;
  if (is_watched) host->watch(Step::before, {verb, object, write_name});
  host->end_turn(1, unwinds ? Host::Unwinds::yes : Host::Unwinds::no);
  return is_watched;
}

bool Context::watch_here(Step step, const char* verb, const void* object, WriteName write_name) noexcept {
  Host* const host = current_ == nullptr ? nullptr : current_->host;
  if (host != turn_here_ || host == nullptr) return false;
  host->watch(step, {verb, object, write_name});
  return true;
}

bool Context::await_finish(const std::optional<Instant>& deadline, const WaitDescription& what, bool may_spin) {
  if (host != nullptr) return await_finish_on_host(what);
  if (is_done() || (may_spin && spin_until([this] { return is_done(); }, 1))) return true;
  describe(what);
  absl::Cleanup forget = [this] { undescribe(); };
  // acq_rel: release so that the claimer's resume() finds a context ready to be resumed, acquire as in is_done().
  bool done = (word_.fetch_or(kSleeping, std::memory_order_acq_rel) & kDone) != 0;
  while (!done) {
    suspend(deadline);
    const std::uint64_t word = word_.load(std::memory_order_acquire);  // as in is_done()
    done = (word & kDone) != 0;
    if (!done && ((word & kSleeping) == 0 || (deadline && std::chrono::steady_clock::now() >= *deadline))) break;
  }
  return done;
}

bool Context::await_finish_on_host(const WaitDescription& what) noexcept {
  tell(what.verb, host->wait_stamp, what.kept_name);
  if (reach_ == Reach::host) {
    const std::uint64_t word = word_.load(std::memory_order_relaxed);
    if ((word & kDone) != 0) return true;
    word_.store(word | kSleeping | kOnHost, std::memory_order_release);  // pairs with look()
  } else if ((word_.fetch_or(kSleeping | kOnHost, std::memory_order_acq_rel) & kDone) != 0) {  // as in await_finish()
    return true;
  }
  waits_for_ = &what;
  std::uint64_t word = 0;
  do {
    host->suspend(*this);
    word = word_.load(std::memory_order_acquire);  // as in is_done()
  } while ((word & (kDone | kSleeping)) == kSleeping);
  waits_for_ = nullptr;
  return (word & kDone) != 0;
}

void Context::await_claimed() noexcept {
  // The claimer is between two statements of its own; it only takes long when it was preempted there.
  for (int i = 0; i < 100 && !is_done(); ++i) spin_pause();
  if (host != nullptr) {
    await_finish_on_host({"is about to go on", nullptr, nullptr});
    return;
  }
  if (is_done() || (word_.fetch_or(kSleeping, std::memory_order_acq_rel) & kDone) != 0) return;
  while (!is_done()) suspend(std::nullopt);
}

bool Context::may_unwind(int uncaught) const noexcept {
  if (is_cancelled && unwind_deferred == 0 && uncaught == 0) return true;
  for (const UnwindScope* scope = unwind_scope; scope != nullptr; scope = scope->outer) {
    if (scope->has_come && scope->deferred == unwind_deferred && scope->uncaught == uncaught) return true;
  }
  return false;
}

Simulation* Context::simulation() const noexcept { return host != nullptr ? host->simulation() : nullptr; }

const std::atomic<std::uint32_t>* Context::futex_word() const noexcept {
  static_assert(sizeof(std::atomic<std::uint64_t>) == 8);
  const auto* halves = reinterpret_cast<const std::atomic<std::uint32_t>*>(&word_);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  return halves;
#else
  return halves + 1;
#endif
}

void WaitDescription::write_object(char* buffer, std::size_t size) const noexcept {
  if (write_name != nullptr) return write_name(object, buffer, size);
  KeptName::Copy name;
  KeptName::read(kept_name, name);
  std::snprintf(buffer, size, "%s", name.bytes);
}

std::optional<WaitReport> Context::waits_on() const {
  std::optional<WaitReport> report;
  KeptName::Copy object;
  KeptName::Copy owner;
  const bool is_whole = look([&](const ContextLook& now) {
    KeptName::read(now.waits ? now.kept_name : 0, object);
    KeptName::read_holder(now.lock(), owner);
    if (now.waits && now.verb != nullptr) report = WaitReport{.what = now.verb};
  });
  if (!is_whole) return std::nullopt;  // it goes from one wait to the next
  if (report && object.size != 0) report->what.append(" ").append(object.view());
  if (report) report->owner = owner.view();
  return report;
}

bool Context::write_wait_on_host(char* buffer, std::size_t size) const noexcept {
  if ((word_.load(std::memory_order_relaxed) & (kOnHost | kDone)) != kOnHost) return false;
  const char* const verb = verb_.load(std::memory_order_relaxed);
  const int written = std::snprintf(buffer, size, "%s", verb == nullptr ? "waits" : verb);
  const auto used = static_cast<std::size_t>(written);
  if (used + 2 >= size) return true;
  if (waits_for_ != nullptr && waits_for_->write_name != nullptr) {
    buffer[used] = ' ';
    waits_for_->write_name(waits_for_->object, buffer + used + 1, size - used - 1);
  } else if (const auto number = static_cast<std::uint32_t>(told_.load(std::memory_order_relaxed)) & kNameMask; number != 0) {
    KeptName::Copy object;
    KeptName::read(number, object);
    std::snprintf(buffer + used, size - used, " %s", object.bytes);
  }
  return true;
}

}  // namespace mothreads::internal
