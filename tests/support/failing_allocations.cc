#include "tests/support/failing_allocations.h"

#include <cstddef>
#include <cstdlib>

#include "tests/support/allocations.h"
#include "tests/support/sanitized.h"

namespace mothreads::testing {

FailAllocation::FailAllocation(std::uint64_t after) noexcept {
  allocation_fails_after = static_cast<std::int64_t>(after);
  allocation_has_failed = false;
}
FailAllocation::~FailAllocation() { allocation_fails_after = -1; }

bool FailAllocation::has_failed() const noexcept { return allocation_has_failed; }

}  // namespace mothreads::testing

#ifdef MOTHREADS_TESTS_SANITIZED

// In place of the sanitizer's own, which cannot be made to fail. The blocks are still the sanitizer's, which counts them.
namespace {

void* allocate(std::size_t size) {
  if (mothreads::testing::is_to_fail()) throw std::bad_alloc();
  void* const block = std::malloc(size == 0 ? 1 : size);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}

}  // namespace

void* operator new(std::size_t size) { return allocate(size); }
void* operator new[](std::size_t size) { return allocate(size); }
void operator delete(void* block) noexcept { std::free(block); }
void operator delete[](void* block) noexcept { std::free(block); }
void operator delete(void* block, std::size_t) noexcept { std::free(block); }
void operator delete[](void* block, std::size_t) noexcept { std::free(block); }

#endif
