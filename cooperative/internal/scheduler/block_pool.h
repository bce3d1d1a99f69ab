#pragma once

// The blocks of a core's fibers. They are recycled, never freed: see FiberBlock. The pool belongs to a core, not to one life of it. On the
// scheduler's thread, but for give_back_late().

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "cooperative/internal/scheduler/fiber_block.h"
#include "mothreads/internal/base/kept_name.h"

namespace mothreads::inline v0::internal {
class Host;
}

namespace cooperative::inline v0::internal {

class BlockPool {
 public:
  // The pool of the core that is that host.
  BlockPool(SchedulerCore& core, mothreads::internal::Host& host) noexcept : core_(core), host_(host) {}
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  // Gives a block that is not in use, with that name and a number of its own. Throws mothreads::Misuse for a name with a zero byte.
  FiberBlock& take(std::string_view name, std::uint64_t life) {
    if (free_ == nullptr) [[unlikely]] make_blocks();
    FiberBlock& block = *free_;
    if (!has_name(block, name)) [[unlikely]] rename(block, name);  // most often it had that name before
    free_ = block.next_free();
    block.core_life = life;
    const std::uint64_t id = next_id_++;
    block.id = id;
    block.tell_kind(nullptr);
    block.set_life(id);
    return block;
  }
  // One that is as new.
  void give_back(FiberBlock& block) noexcept {
    block.next_free() = free_;
    free_ = &block;
  }
  // After the scheduler's end, from any thread: the next life of the core takes it.
  void give_back_late(FiberBlock& block) noexcept;
  // All of those, linked by next_free().
  FiberBlock* take_late() noexcept;

  // Blocks with this number and later ones are not made yet.
  std::uint64_t next_id() const noexcept { return next_id_; }

  // Calls `look` with each block that was ever made, in use or not. From any thread: of a block it may read what is atomic.
  template <typename Look>
  void for_each(Look&& look) const {
    // acquire pairs with make_blocks(). Blocks stay, and so do the lists of them.
    for (const Made* made = made_.load(std::memory_order_acquire); made != nullptr; made = made->older) {
      for (std::size_t i = 0; i < made->count; ++i) look(std::as_const(made->blocks[i]));
    }
  }

 private:
  struct Made {
    const Made* older;
    FiberBlock* blocks;
    std::size_t count;
  };

  // Whether it has that name. Inlined for the usual lengths: a call of memcmp(3) takes a sixteenth of what a fiber that is made and joined takes.
  static bool has_name(const FiberBlock& block, std::string_view name) noexcept {
    const std::size_t size = name.size();
    if (block.own_name.size() != size) return false;
    const char* const own = block.own_name.data();
    // Two words that may overlap.
    if (size >= sizeof(std::uint64_t) && size <= 2 * sizeof(std::uint64_t)) {
      const std::size_t second = size - sizeof(std::uint64_t);
      return word_at(own) == word_at(name.data()) && word_at(own + second) == word_at(name.data() + second);
    }
    return block.own_name == name;
  }
  static std::uint64_t word_at(const char* text) noexcept {
    std::uint64_t word;
    std::memcpy(&word, text, sizeof word);
    return word;
  }

  [[gnu::noinline]] void make_blocks();
  [[gnu::noinline]] void rename(FiberBlock& block, std::string_view name);

  FiberBlock* free_ = nullptr;
  std::uint64_t next_id_ = 1;
  std::size_t count_ = 0;  // made so far
  std::atomic<const Made*> made_{nullptr};
  std::string newest_name_;  // fibers of one name share what others see of it
  mothreads::internal::KeptName newest_kept_name_;
  SchedulerCore& core_;
  mothreads::internal::Host& host_;
  std::atomic<FiberBlock*> late_{nullptr};
};

}  // namespace cooperative::internal
