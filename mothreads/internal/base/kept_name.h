#pragma once

// A name that any thread may read while its owner comes to its end: the memory of names is recycled, never freed. A reader takes the number
// first, then the bytes, and then asks whether the owner was still the same all the time; only then does the copy count.
//
// Thread safety: number() and read() may be called from any thread at any time, with any number that an owner has ever had. Copies of a name
// share its memory, and are independent of each other.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mothreads::inline v0::internal {

class KeptName {
 public:
  static constexpr std::size_t kMax = 55;  // bytes: of a longer name the rest is not seen by others
  static constexpr int kNumberBits = 22;  // so many names there can be
  struct Copy {
    char bytes[kMax + 1];
    std::size_t size;
    std::string_view view() const noexcept { return {bytes, size}; }
  };

  constexpr KeptName() noexcept = default;  // none
  // Takes 64 bytes. Where there is no room for more names it has none, and nothing is read.
  explicit KeptName(std::string_view name) noexcept;
  KeptName(const KeptName& other) noexcept : number_(other.number() == 0 ? 0 : share(other.number())) {}
  KeptName& operator=(const KeptName& other) noexcept {
    const std::uint32_t before = number();
    // release: whoever reads this, and then asks about the owner of the name before, hears that it is no more.
    number_.store(share(other.number()), std::memory_order_release);
    drop(before);
    return *this;
  }
  ~KeptName() {
    if (number() != 0) drop(number());
  }

  // 0 for none. acquire pairs with the assignment.
  std::uint32_t number() const noexcept { return number_.load(std::memory_order_acquire); }

  // Copies the name that has the number now. Empty for 0.
  static void read(std::uint32_t number, Copy& copy) noexcept;

 private:
  static std::uint32_t share(std::uint32_t number) noexcept;
  static void drop(std::uint32_t number) noexcept;

  std::atomic<std::uint32_t> number_{0};
};

}  // namespace mothreads::internal
