#pragma once

// Memory for the kernel to copy into. On some processors (AMD Zen 3) the kernel's copy of much into memory that begins a little behind a page,
// as malloc's large blocks do, takes three times as long as one into memory that begins at a page.

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>

namespace cooperative::internal {

inline constexpr std::size_t kPage = 4096;
// From this size on a buffer begins at a page. Smaller ones are not worth the place that this costs.
inline constexpr std::size_t kWorthAPage = 16 * 1024;

struct FreeMemory {
  void operator()(void* memory) const noexcept { std::free(memory); }
};
template <typename T>
using Memory = std::unique_ptr<T[], FreeMemory>;

// So many bytes, uninitialised. Throws std::bad_alloc.
template <typename T>
Memory<T> make_memory(std::size_t size) {
  static_assert(sizeof(T) == 1);
  void* memory = nullptr;
  if (size < kWorthAPage) {
    memory = std::malloc(size);
  } else if (posix_memalign(&memory, kPage, size) != 0) {
    memory = nullptr;
  }
  if (memory == nullptr) throw std::bad_alloc();
  return Memory<T>(static_cast<T*>(memory));
}

}  // namespace cooperative::internal
