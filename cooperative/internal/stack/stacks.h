#pragma once

// The stacks of one scheduler's fibers. They come from slabs, each one mapping, with a guard below each stack. An ended fiber's
// stack is the next one's; of one that went deep only a little stays in memory.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace cooperative::inline v0::internal {

struct Stack {
  char* lowest = nullptr;  // above the guard
  char* top = nullptr;     // where a fiber begins: not the same for all, see Stacks::take_slowly()
  std::size_t size = 0;    // from `lowest` to the end of its place in the slab
  void* tsan_fiber = nullptr;
  unsigned int valgrind_number = 0;
  Stack* next = nullptr;      // in the pool
  bool began_clean = false;  // for the fiber that has it: see stack_marks.h
};

inline constexpr std::size_t kDefaultStackSize = 64 * 1024;
inline constexpr std::size_t kMinStackSize = 16 * 1024;

// Not a part of a stack's size. A function whose frame is larger than this may step over it: code that has such functions is to be
// compiled with -fstack-clash-protection.
inline constexpr std::size_t kStackGuard = 16 * 1024;

// So much of a stack in the pool may stay in memory.
inline constexpr std::size_t kKeptOfStack = 16 * 1024;

// So many stacks may be in the pool without anybody having looked how deep they went, while the scheduler finds no time for it.
inline constexpr std::size_t kMaxUnlooked = 4096;

// ThreadSanitizer keeps a state for each stack. gcc's runtime ends the process at 8128 of them and the threads. clang's takes about four
// mappings for each, and some of them outlive the stack, so that vm.max_map_count (65,530) would end the process at some 13,000.
inline constexpr std::size_t kMaxTsanStacks = 8'000;

// Where the kernel has no MADV_GUARD_INSTALL each stack takes two of the mappings that vm.max_map_count allows a process. So many
// stacks the process may have then, on all its schedulers: three quarters of those mappings.
std::size_t max_mapped_stacks();

class Stacks {
 public:
  Stacks() = default;
  Stacks(const Stacks&) = delete;
  Stacks& operator=(const Stacks&) = delete;
  ~Stacks();  // all must have been given back

  // A stack of at least `size` bytes. Throws NoStack, naming `fiber`, when there are no more.
  Stack& take(std::size_t size, std::string_view fiber) {
    if (size == kDefaultStackSize && default_size_.free != nullptr) return default_size_.pop();
    return take_slowly(size, fiber);
  }
  void give_back(Stack& stack) noexcept {
    Pool& pool = stack.size == kDefaultStackSize ? default_size_ : pool_of(stack.size);
    pool.push(stack);
    if (pool.unlooked >= kMaxUnlooked) [[unlikely]] look_at_some(pool);
  }

  // Looks how deep some went that were given back since the last call, and frees what is too much. For who has nothing better to do:
  // takes some microseconds. False when there was none.
  bool tidy() noexcept;

  // Whether it is in the guard of one of these stacks; then gives that stack. Also for a signal handler that interrupts this class.
  const Stack* guarded_by(const void* address) const noexcept;

  // Whether guards are marks in the page tables, which are no mappings.
  static bool has_marked_guards();
  // For tests: as on a kernel without MADV_GUARD_INSTALL, for the stacks that are made from now on.
  static void set_only_mapped_guards(bool only) noexcept;

 private:
  struct Slab {
    char* memory;
    std::size_t bytes;
    std::size_t stack_size;
    std::size_t count;
    std::unique_ptr<Stack[]> stacks;
    std::size_t used = 0;    // so many have been handed out for the first time
    std::size_t mapped = 0;  // so many of these have a guard that is a mapping
    Slab* older = nullptr;
  };
  // Those of one size that no fiber has. Last in, first out, because it may still be in a cache.
  struct Pool {
    Stack& pop() noexcept {
      Stack& stack = *free;
      free = stack.next;
      --unlooked;
      return stack;
    }
    void push(Stack& stack) noexcept {
      stack.next = free;
      free = &stack;
      ++unlooked;
    }

    std::size_t size;
    Stack* free = nullptr;  // nobody has looked at these
    std::size_t unlooked = 0;
    Stack* looked_at = nullptr;
  };

  Stack& take_slowly(std::size_t size, std::string_view fiber);
  Pool& pool_of(std::size_t size) noexcept;
  Slab& slab_for(std::size_t size, std::string_view fiber);
  static bool look_at_some(Pool& pool) noexcept;

  Pool default_size_{kDefaultStackSize};
  std::vector<Pool> other_sizes_;
  Slab* newest_slab_ = nullptr;
};

}  // namespace cooperative::internal
