#pragma once

// The time by the processor's counter, which costs a fraction of the clock: for limits of waits and timers, which may go a little late,
// but never early.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>

#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h>
#endif

#include "mothreads/clock.h"
#include "mothreads/instant.h"

namespace cooperative::inline v0::internal {

class NearClock {
 public:
  // Ticks of the counter, which runs at 1 GHz or more: so it is trusted for 50 µs at most, on the processor where it was read.
  static constexpr std::uint64_t kTrusted = 50'000;

  mothreads::Instant not_before_now(const mothreads::Clock& clock) noexcept {
    if (!clock.is_real()) [[unlikely]] return clock.now();
    // Not in order with what comes before, as `rdtscp` would be: what is under way may wait for memory, and the counter be read before
    // that has come. kEarly is more than that takes. Against an earlier clock.now() it is never early: that has read the counter.
    const std::uint64_t ticks = __builtin_ia32_rdtsc();
    const std::uint64_t since = ticks - known_ticks_;
    if (since >= kTrusted || processor() != known_processor_) [[unlikely]] return look(clock);
    return in_order(known_ + std::chrono::nanoseconds(since + kEarly));
  }

  // A time that has come, as late as is known without a look at a real clock.
  mothreads::Instant not_after_now(const mothreads::Clock& clock) const noexcept { return clock.is_real() ? known_ : clock.now(); }

  mothreads::Instant latest() const noexcept { return latest_; }  // that it gave

 private:
  static constexpr std::uint64_t kEarly = 1'000;
  static constexpr std::uint32_t kUnknown = UINT32_MAX;

  // Kept by the kernel in the thread's area for restartable sequences, where the C library has one. Read after the counter: a thread that
  // moved in between counts as one that moved before.
  static std::uint32_t processor() noexcept {
#if __has_include(<sys/rseq.h>)
    if (__rseq_size > 0) [[likely]] {
      std::uint32_t id = 0;
      asm volatile("movl %%fs:%c[member](%[area]), %[id]"
                   : [id] "=r"(id)
                   : [area] "r"(__rseq_offset), [member] "i"(offsetof(struct rseq, cpu_id))
                   : "memory");
      return id;
    }
#endif
    unsigned int id = 0;
    __builtin_ia32_rdtscp(&id);
    return id & 0xfff;  // the rest is the node's
  }

  mothreads::Instant look(const mothreads::Clock& clock) noexcept {
    known_processor_ = processor();
    known_ticks_ = __builtin_ia32_rdtsc();
    known_ = clock.now();  // after the counter: then it may be a little late
    return in_order(known_);
  }

  // Of two equal limits the one that was set first goes first.
  mothreads::Instant in_order(mothreads::Instant time) noexcept { return latest_ = std::max(latest_, time); }

  mothreads::Instant known_;  // when the counter of that processor was at these ticks, or a little later
  std::uint64_t known_ticks_ = 0;
  std::uint32_t known_processor_ = kUnknown;
  mothreads::Instant latest_;  // what it gave
};

}  // namespace cooperative::internal
