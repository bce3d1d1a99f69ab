#include "tests/support/allocations.h"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

#include "tests/support/sanitized.h"

#ifdef MOTHREADS_TESTS_SANITIZED
// As clang's <sanitizer/allocator_interface.h> has it; gcc ships the function without the header.
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void*, std::size_t),
                                                         void (*free_hook)(const volatile void*));
#endif

namespace {

constinit thread_local std::uint64_t made_here = 0;
constinit std::atomic<std::int64_t> live{0};

}  // namespace

namespace mothreads::inline v0::testing {

std::uint64_t allocations_here() noexcept { return made_here; }
std::int64_t live_allocations() noexcept { return live.load(std::memory_order_relaxed); }

}  // namespace mothreads::testing

#ifdef MOTHREADS_TESTS_SANITIZED

// A sanitizer brings its own operators, and tells what they do. It counts malloc(), too.
namespace {

void allocated(const volatile void*, std::size_t) {
  ++made_here;
  live.fetch_add(1, std::memory_order_relaxed);
}
void freed(const volatile void*) { live.fetch_sub(1, std::memory_order_relaxed); }

[[maybe_unused]] const int installed = __sanitizer_install_malloc_and_free_hooks(allocated, freed);

}  // namespace

#else

namespace {

void* count(void* block) noexcept {
  if (block == nullptr) return nullptr;
  ++made_here;
  live.fetch_add(1, std::memory_order_relaxed);
  return block;
}

void* allocate(std::size_t size) noexcept { return count(std::malloc(size == 0 ? 1 : size)); }

void* allocate(std::size_t size, std::align_val_t alignment) noexcept {
  const auto align = static_cast<std::size_t>(alignment);
  return count(std::aligned_alloc(align, (size + align - 1) / align * align));
}

void* or_throw(void* block) {
  if (block == nullptr) throw std::bad_alloc();
  return block;
}

void release(void* block) noexcept {
  if (block == nullptr) return;
  live.fetch_sub(1, std::memory_order_relaxed);
  std::free(block);
}

}  // namespace

void* operator new(std::size_t size) { return or_throw(allocate(size)); }
void* operator new[](std::size_t size) { return or_throw(allocate(size)); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void* operator new(std::size_t size, std::align_val_t align) { return or_throw(allocate(size, align)); }
void* operator new[](std::size_t size, std::align_val_t align) { return or_throw(allocate(size, align)); }
void* operator new(std::size_t size, std::align_val_t align, const std::nothrow_t&) noexcept { return allocate(size, align); }
void* operator new[](std::size_t size, std::align_val_t align, const std::nothrow_t&) noexcept { return allocate(size, align); }

void operator delete(void* block) noexcept { release(block); }
void operator delete[](void* block) noexcept { release(block); }
void operator delete(void* block, std::size_t) noexcept { release(block); }
void operator delete[](void* block, std::size_t) noexcept { release(block); }
void operator delete(void* block, const std::nothrow_t&) noexcept { release(block); }
void operator delete[](void* block, const std::nothrow_t&) noexcept { release(block); }
void operator delete(void* block, std::align_val_t) noexcept { release(block); }
void operator delete[](void* block, std::align_val_t) noexcept { release(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { release(block); }
void operator delete[](void* block, std::size_t, std::align_val_t) noexcept { release(block); }
void operator delete(void* block, std::align_val_t, const std::nothrow_t&) noexcept { release(block); }
void operator delete[](void* block, std::align_val_t, const std::nothrow_t&) noexcept { release(block); }

#endif
