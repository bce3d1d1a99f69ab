#pragma once

// Bytes of a stream that have come and that nobody has taken, or that are to be written later. Not thread-safe.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

#include "cooperative/internal/stack/page_memory.h"

namespace cooperative::inline v0::internal::io {

class ReadAhead {
 public:
  ReadAhead() = default;
  ReadAhead(ReadAhead&& other) noexcept { *this = std::move(other); }
  ReadAhead& operator=(ReadAhead&& other) noexcept {
    bytes_ = std::move(other.bytes_);
    begin_ = std::exchange(other.begin_, 0);
    end_ = std::exchange(other.end_, 0);
    capacity_ = std::exchange(other.capacity_, 0);
    return *this;
  }

  // So often something was dropped: who comes back from a wait may find another begin.
  std::uint32_t drops() const { return drops_; }
  std::string_view view() const { return {bytes_.get() + begin_, end_ - begin_}; }
  std::size_t size() const { return end_ - begin_; }
  void append(const char* bytes, std::size_t size) {
    if (size == 0) return;
    if (capacity_ - end_ < size) [[unlikely]] room(size);
    std::memcpy(bytes_.get() + end_, bytes, size);
    end_ += static_cast<std::uint32_t>(size);
  }
  // At least so much room behind what is there, to be filled by the caller, who then says how much it was.
  std::span<char> room(std::size_t size);
  void filled(std::size_t size) { end_ += static_cast<std::uint32_t>(size); }
  // The room that there is already.
  std::span<char> spare_room() { return {bytes_.get() + end_, capacity_ - end_}; }
  void drop(std::size_t size) {
    ++drops_;
    begin_ += static_cast<std::uint32_t>(size);
    if (begin_ == end_) begin_ = end_ = 0;
  }
  // Before a wait: an idle stream holds nothing.
  void release() {
    if (size() == 0 && capacity_ > 0) *this = {};
  }

 private:
  internal::Memory<char> bytes_;
  std::uint32_t begin_ = 0;
  std::uint32_t end_ = 0;
  std::uint32_t capacity_ = 0;
  std::uint32_t drops_ = 0;
};

}  // namespace cooperative::internal::io
