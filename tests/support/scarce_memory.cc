#include "tests/support/scarce_memory.h"

#include <cstddef>
#include <cstdlib>

namespace {

constinit thread_local int others_left = -1;
constinit thread_local bool has_failed = false;

void* allocate(std::size_t size, std::size_t alignment) {
  if (others_left == 0) {
    others_left = -1;
    has_failed = true;
    throw std::bad_alloc();
  }
  if (others_left > 0) --others_left;
  void* const block = std::aligned_alloc(alignment, (size + alignment) / alignment * alignment);
  if (block == nullptr) std::abort();
  return block;
}

}  // namespace

namespace mothreads::testing {

void fail_allocation_after(int others) noexcept {
  has_failed = false;
  others_left = others;
}

bool end_failing() noexcept {
  others_left = -1;
  return has_failed;
}

}  // namespace mothreads::testing

void* operator new(std::size_t size) { return allocate(size, alignof(std::max_align_t)); }
void* operator new[](std::size_t size) { return allocate(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, std::align_val_t align) { return allocate(size, static_cast<std::size_t>(align)); }
void* operator new[](std::size_t size, std::align_val_t align) { return allocate(size, static_cast<std::size_t>(align)); }
void operator delete(void* block) noexcept { std::free(block); }
void operator delete[](void* block) noexcept { std::free(block); }
void operator delete(void* block, std::size_t) noexcept { std::free(block); }
void operator delete[](void* block, std::size_t) noexcept { std::free(block); }
void operator delete(void* block, std::align_val_t) noexcept { std::free(block); }
void operator delete[](void* block, std::align_val_t) noexcept { std::free(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { std::free(block); }
void operator delete[](void* block, std::size_t, std::align_val_t) noexcept { std::free(block); }
