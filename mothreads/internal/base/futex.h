#pragma once

// The kernel's wait-on-a-word, private to this process. Deadlines are absolute on CLOCK_MONOTONIC, the clock of
// std::chrono::steady_clock on Linux.

#include <atomic>
#include <cstdint>
#include <optional>

#include "mothreads/instant.h"

namespace mothreads::inline v0::internal {

enum class FutexEnd : std::uint8_t { woken, timed_out };

// Sleeps while `word` holds `expected`. May also return `woken` for no reason: callers test their condition again.
FutexEnd futex_wait(const std::atomic<std::uint32_t>* word, std::uint32_t expected,
                    const std::optional<Instant>& deadline = std::nullopt) noexcept;

// Wakes up to `count` sleepers. `word` may be stale memory: only its address is used.
void futex_wake(const std::atomic<std::uint32_t>* word, int count) noexcept;

}  // namespace mothreads::internal
