#pragma once

// Valgrind takes a step to another stack for the growth of the one before, unless it knows where stacks lie. Elsewhere these are a few
// instructions that do nothing, and without Debian's package valgrind, whose header has them, nothing.

#include <cstddef>

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif

namespace cooperative::inline v0::internal {

#ifdef VALGRIND_STACK_REGISTER
// Gives the number by which Valgrind knows it.
inline unsigned int tell_valgrind_of_stack(char* lowest, std::size_t size) noexcept {
  return VALGRIND_STACK_REGISTER(lowest, lowest + size);
}
inline void tell_valgrind_of_its_end(unsigned int number) noexcept { VALGRIND_STACK_DEREGISTER(number); }
#else
inline unsigned int tell_valgrind_of_stack(char*, std::size_t) noexcept { return 0; }
inline void tell_valgrind_of_its_end(unsigned int) noexcept {}
#endif

}  // namespace cooperative::internal
