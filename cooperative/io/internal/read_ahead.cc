#include "cooperative/io/internal/read_ahead.h"

#include <algorithm>
#include <limits>
#include <new>

namespace cooperative::inline v0::internal::io {

namespace {

constexpr std::size_t kAtLeast = 4096;

}  // namespace

std::span<char> ReadAhead::room(std::size_t size) {
  const std::size_t used = end_ - begin_;
  if (capacity_ - end_ < size) {
    if (capacity_ - used >= size && begin_ >= used) {
      std::memcpy(bytes_.get(), bytes_.get() + begin_, used);
    } else {
      const std::size_t capacity = std::max({used + size, std::size_t{2} * used, kAtLeast});
      if (capacity > std::numeric_limits<std::uint32_t>::max()) throw std::bad_alloc();
      Memory<char> bytes = make_memory<char>(capacity);
      if (used > 0) std::memcpy(bytes.get(), bytes_.get() + begin_, used);
      bytes_ = std::move(bytes);
      capacity_ = static_cast<std::uint32_t>(capacity);
    }
    begin_ = 0;
    end_ = static_cast<std::uint32_t>(used);
  }
  return {bytes_.get() + end_, capacity_ - end_};
}

}  // namespace cooperative::internal::io
