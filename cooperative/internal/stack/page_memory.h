#pragma once

// Memory for the kernel to copy into, and copies from there. On some processors (AMD Zen 3) one instruction that copies much is up to twenty times
// slower when its target lies 1 to 31 bytes behind its source, counted within a page. The kernel uses that instruction, and its source begins at
// a page most often; malloc's large blocks, and so large strings, begin 16 bytes behind one.

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>

namespace cooperative::inline v0::internal {

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

// Like to.append(from), for much: memcpy() uses that instruction, too (glibc does until 2.38), but not for so little at a time.
inline void append_much(std::string& to, std::string_view from) {
  constexpr std::size_t kLittle = 1024;
  if (from.size() < kWorthAPage) {
    to.append(from);
    return;
  }
  if (to.capacity() - to.size() < from.size()) to.reserve(std::max(to.size() + from.size(), 2 * to.capacity()));
  for (; from.size() > kLittle; from.remove_prefix(kLittle)) to.append(from.substr(0, kLittle));
  to.append(from);
}

}  // namespace cooperative::internal
