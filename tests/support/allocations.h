#pragma once

// Counts what goes through operator new in the whole program, so that a test can say "nothing is allocated" and "nothing is
// left".

#include <cstdint>

namespace mothreads::inline v0::testing {

// Allocations made by the calling thread since it began.
std::uint64_t allocations_here() noexcept;

// Blocks that are allocated and not freed, in the whole program.
std::int64_t live_allocations() noexcept;

}  // namespace mothreads::testing
