#pragma once

// The stacks of one scheduler's fibers. They come from slabs, each one mapping, with a guard at the low end of each stack. An
// ended fiber's stack is the next one's.

#include <cstddef>
#include <string_view>
#include <vector>

namespace cooperative::internal {

struct Stack {
  char* lowest = nullptr;  // above the guard
  char* top = nullptr;     // where a fiber begins: not the same for all, see Stacks::take()
  std::size_t size = 0;    // from the guard to the end of its place in the slab
  void* tsan_fiber = nullptr;
  Stack* next = nullptr;  // in the pool
};

inline constexpr std::size_t kDefaultStackSize = 64 * 1024;
inline constexpr std::size_t kMinStackSize = 16 * 1024;

class Stacks {
 public:
  Stacks() = default;
  Stacks(const Stacks&) = delete;
  Stacks& operator=(const Stacks&) = delete;
  ~Stacks();  // all must have been given back

  // A stack of at least `size` bytes. Throws std::system_error, naming `fiber`, when the system has no more.
  Stack& take(std::size_t size, std::string_view fiber) {
    if (size == kDefaultStackSize && free_ != nullptr) {
      Stack& stack = *free_;
      free_ = stack.next;
      return stack;
    }
    return take_slowly(size, fiber);
  }
  void give_back(Stack& stack) noexcept {
    Stack*& list = stack.size == kDefaultStackSize ? free_ : list_for(stack.size);
    stack.next = list;
    list = &stack;
  }

  // Whether it is in the guard of one of these stacks; then gives that stack. For a signal handler.
  const Stack* guarded_by(const void* address) const noexcept;

 private:
  struct Slab {
    char* memory;
    std::size_t bytes;
    std::size_t stack_size;
    std::vector<Stack> stacks;
    std::size_t used;  // so many have been handed out for the first time
  };
  struct Size {
    std::size_t size;
    Stack* free;
  };

  Stack& take_slowly(std::size_t size, std::string_view fiber);
  Stack*& list_for(std::size_t size) noexcept;
  Slab& slab_for(std::size_t size, std::string_view fiber);

  Stack* free_ = nullptr;  // of the default size
  std::vector<Size> other_sizes_;
  std::vector<Slab> slabs_;
};

}  // namespace cooperative::internal
