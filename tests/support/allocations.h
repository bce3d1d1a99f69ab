#pragma once

// Counts what goes through operator new in the whole program, so that a test can say "nothing is allocated" and "nothing is
// left".

#include <cstdint>

namespace mothreads::testing {

// Allocations made by the calling thread since it began.
std::uint64_t allocations_here() noexcept;

// Blocks that are allocated and not freed, in the whole program.
std::int64_t live_allocations() noexcept;

// For failing_allocations.h: so many more allocations of the calling thread succeed, then one fails; negative for none that
// fails.
extern constinit thread_local std::int64_t allocation_fails_after;
extern constinit thread_local bool allocation_has_failed;

// Whether the allocation that is about to be made is that one.
bool is_to_fail() noexcept;

}  // namespace mothreads::testing
