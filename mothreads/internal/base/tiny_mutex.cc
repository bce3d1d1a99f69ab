#include "mothreads/internal/base/tiny_mutex.h"

#include "mothreads/internal/base/futex.h"
#include "mothreads/internal/base/spin.h"

namespace mothreads::inline v0::internal {
namespace {

// Sections under this mutex take tens of nanoseconds: a holder that has not left after this many pauses (about 2 µs)
// was most likely preempted, and then only sleeping lets it run.
constexpr int kSpins = 60;

}  // namespace

void TinyMutex::lock_slow() noexcept {
  for (int i = 0; i < kSpins; ++i) {
    if (word_.load(std::memory_order_relaxed) == kFree && try_lock()) return;
    spin_pause();
  }
  // acquire as in try_lock(). Whoever slept cannot know whether others sleep too, so it takes the mutex as "with sleepers".
  while (word_.exchange(kHeldWithSleepers, std::memory_order_acquire) != kFree) {
    futex_wait(&word_, kHeldWithSleepers);
  }
}

void TinyMutex::wake_one() noexcept { futex_wake(&word_, 1); }

}  // namespace mothreads::internal
