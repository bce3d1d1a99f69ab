#include "mothreads/till.h"

#include <atomic>
#include <cstdio>
#include <utility>

#include "mothreads/clock.h"
#include "mothreads/internal/tills.h"
#include "mothreads/internal/wait/context.h"
#include "mothreads/internal/wait/simulation.h"

namespace mothreads::inline v0::internal {
namespace {

constinit std::atomic<bool> tills_ended{false};

}  // namespace

// The state of a Till, and its place among the timers, which do not keep it unless it has a then() function.
class TillState final : public SignalState, private TimerNode {
 public:
  static SignalState* make(Clock& clock, std::int64_t when) {
    auto* state = new TillState(clock.timers(internal::kAccess));
    try {
      state->timers_.add(*state, when);
    } catch (...) {
      state->unref();
      throw;
    }
    return state;
  }

  static const TimerOps kOps;

  static void send_early(TimerNode& node) { finish(node, 0); }

 private:
  static bool take(TimerNode& node) {
    auto& state = static_cast<TillState&>(node);
    return state.timers_own_ || state.ref_unless_dying();
  }
  static void fire(TimerNode& node) { finish(node, kTimed); }
  static void finish(TimerNode& node, std::uint32_t flags) {
    auto& state = static_cast<TillState&>(node);
    state.go(flags);
    state.unref();
  }

  explicit TillState(TimerQueue& timers) : SignalState(Revivable::yes), TimerNode(kOps), timers_(timers) {}

  void release_sources(Dying& dying) noexcept override {
    SignalState::release_sources(dying);
    timers_.cancel(*this);
  }

  void keep_for_then(Relay*&) noexcept override {
    timers_.with_pending(*this, [this](bool pending) {
      if (!pending) return;
      timers_own_ = true;
      ref();
    });
  }

  void keep_no_more() noexcept override {
    bool was_theirs = false;
    {
      TinyLock lock(mutex_);
      if (!is_kept_for_nothing()) return;
      kept_ = turned_ = false;
      timers_.with_pending(*this, [&](bool pending) { was_theirs = pending && std::exchange(timers_own_, false); });
    }
    if (was_theirs) unref();  // the caller has a reference
  }

  void write_name(char* buffer, std::size_t size, int) const override {
    std::snprintf(buffer, size, "till %.3f s of the clock", static_cast<double>(when) / 1e9);
  }

  TimerQueue& timers_;
  bool timers_own_ = false;  // guarded by the mutex of the timers
};

constexpr TimerOps TillState::kOps{take, fire};

void send_tills_early() {
  const Context* const here = Context::current_or_null();
  if (Simulation* const simulation = here == nullptr ? nullptr : here->simulation()) {
    simulation->timers().fire_all(TillState::kOps, TillState::send_early);
  } else {
    fire_everywhere(TillState::kOps, TillState::send_early);
  }
}

void set_tills_ended(bool ended) { tills_ended.store(ended, std::memory_order_release); }

}  // namespace mothreads::internal

namespace mothreads::inline v0 {
namespace {

internal::SignalState* make_till(Clock& clock, Instant now, Instant when) {
  if (internal::tills_ended.load(std::memory_order_acquire)) return &internal::ConstantSignals::done.value;
  if (when <= now) return &internal::ConstantSignals::expired.value;
  return internal::TillState::make(clock, when.time_since_epoch().count());
}

internal::SignalState* make_till(absl::Duration duration) {
  Clock& clock = Clock::current();
  const Instant now = clock.now();
  // Longer than the clock can count is never, but still a Till: it goes early at a stop.
  const absl::Duration room = absl::FromChrono(Instant::max() - now);
  return make_till(clock, now,
                   duration >= room ? Instant::max() : now + std::chrono::nanoseconds(absl::ToInt64Nanoseconds(duration)));
}

}  // namespace

bool Till::went_early() const noexcept { return static_cast<bool>(*this) && state(internal::kAccess).as_limit() != Why::timed_out; }

Till::Till(absl::Duration duration) : Signal(make_till(duration), internal::kAccess) {}
Till::Till(absl::Time time) : Till(time - Clock::current().wall_now()) {}
Till::Till(Instant instant) : Signal(make_till(Clock::current(), Clock::current().now(), instant), internal::kAccess) {}

}  // namespace mothreads
