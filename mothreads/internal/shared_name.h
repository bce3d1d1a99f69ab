#pragma once

// The name of an object, for what may outlive the object. A copy allocates nothing and throws nothing: a short name is copied, the
// copies of a longer one share it.
//
// Thread safety: that of a std::string; copies are independent of each other.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace mothreads::inline v0::internal {

class SharedName {
 public:
  static constexpr std::size_t kMaxShort = 15;

  SharedName() noexcept = default;
  // Allocates for more than kMaxShort bytes.
  explicit SharedName(std::string_view text) {
    if (text.size() > kMaxShort) {
      make_long(text);
    } else {
      std::copy(text.begin(), text.end(), bytes_);
      size_ = static_cast<std::uint8_t>(text.size());
    }
  }
  SharedName(const SharedName& other) noexcept { copy(other); }
  SharedName(SharedName&& other) noexcept {
    take(other);
    other.size_ = 0;
  }
  SharedName& operator=(const SharedName&) = delete;
  ~SharedName() {
    if (size_ == kLong) drop();
  }

  std::string_view view() const noexcept { return size_ == kLong ? long_view() : std::string_view(bytes_, size_); }

 private:
  struct Long;
  static constexpr std::uint8_t kLong = 255;

  void take(const SharedName& other) noexcept {
    std::memcpy(bytes_, other.bytes_, sizeof bytes_);
    size_ = other.size_;
  }
  void copy(const SharedName& other) noexcept {
    take(other);
    if (size_ == kLong) share();
  }
  void make_long(std::string_view text);
  void share() const noexcept;
  void drop() noexcept;
  std::string_view long_view() const noexcept;
  Long* shared() const noexcept;

  alignas(void*) char bytes_[kMaxShort] = {};  // or a Long*, in its first bytes
  std::uint8_t size_ = 0;                      // or kLong
};

}  // namespace mothreads::internal
