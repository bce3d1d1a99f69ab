#pragma once

// A name that any thread may read while its owner comes to its end: the memory of names is recycled, never freed. A reader takes the number
// first, then the bytes, and then asks whether the owner was still the same all the time; only then does the copy count.
//
// The name of a lock knows besides the name of the context that is inside, which is told where others queue:
//
//     name.tell_holder(context.name_for_others());   the lock keeps a share of that name
//     KeptName::read_holder(number, copy);           any thread
//     name.forget_holder();                          before the context leaves
//
// Thread safety: number(), read() and read_holder() may be called from any thread at any time, with any number that an owner has ever had. share_of()
// may be called from any thread, with a KeptName that is never freed. Of one name one thread at a time tells and forgets the holder. Copies of a name
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

  // A share of the name that `other` has now, while its own thread may give it another one.
  static KeptName share_of(const KeptName& other) noexcept;

  // Copies the name that has the number now. Empty for 0.
  static void read(std::uint32_t number, Copy& copy) noexcept;

  // For the name of a lock: it keeps that share of a name in the place of the one before. Nothing happens where either is none.
  void tell_holder(KeptName&& holder) const noexcept;
  void forget_holder() const noexcept {
    if (has_holder()) set_holder(number(), 0);
  }
  bool has_holder() const noexcept { return number() != 0 && holder_number_of(number()) != 0; }
  // Copies the name of the context inside, of the lock whose name has that number. Empty where none has been told, or where others come too fast for
  // a copy. It counts where the number was that lock's all the time.
  static void read_holder(std::uint32_t number, Copy& copy) noexcept;

 private:
  struct Taken {};
  KeptName(std::uint32_t number, Taken) noexcept : number_(number) {}  // a share that is counted already

  static std::uint32_t share_now(const KeptName& other) noexcept;
  static std::uint32_t share(std::uint32_t number) noexcept;
  static void drop(std::uint32_t number) noexcept;
  static void set_holder(std::uint32_t number, std::uint32_t holder) noexcept;
  static std::uint32_t holder_number_of(std::uint32_t number) noexcept;

  std::atomic<std::uint32_t> number_{0};
};

}  // namespace mothreads::internal
