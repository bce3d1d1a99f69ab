#include "cooperative/internal/scheduler/block_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <memory>
#include <new>

#include <fmt/core.h>

#include "mothreads/internal/base/printable.h"
#include "mothreads/internal/wait/host.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0::internal {

using mothreads::internal::KeptName;

void BlockPool::rename(FiberBlock& block, std::string_view name) {
  if (name.find('\0') != std::string_view::npos) {
    throw mothreads::Misuse(fmt::format("\"{}\" cannot be the name of a fiber: it has a zero byte, which would end it in every report", mothreads::internal::printable(name)));
  }
  if (name != newest_name_) {
    newest_name_.assign(name);
    newest_kept_name_ = KeptName(name);
  }
  block.own_name.assign(name);
  block.kept_name = newest_kept_name_;
}

// For ever: see FiberBlock. Twice as many each time, and then in huge pages: a million of them would need more of the processor's
// entries for pages than it has.
void BlockPool::make_blocks() {
  constexpr std::size_t kFewest = 32;
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  constexpr std::size_t kMost = kHugePage / sizeof(FiberBlock);
  const std::size_t count = std::clamp(count_, kFewest, kMost);
  const std::size_t bytes = count * sizeof(FiberBlock);
  const bool is_huge = count == kMost;
  auto made = std::make_unique<Made>(Made{.older = made_.load(std::memory_order_relaxed), .blocks = nullptr, .count = count});
  auto* blocks = static_cast<FiberBlock*>(::operator new(bytes, std::align_val_t{is_huge ? kHugePage : alignof(FiberBlock)}));
  if (is_huge) madvise(blocks, bytes, MADV_HUGEPAGE);  // where it is refused, small ones do
  for (std::size_t i = count; i > 0; --i) {
    FiberBlock& block = *new (&blocks[i - 1]) FiberBlock;
    block.core = &core_;
    block.host = &host_;
    give_back(block);
  }
  count_ += count;
  made->blocks = blocks;
  made_.store(made.release(), std::memory_order_release);  // pairs with for_each()
}

void BlockPool::give_back_late(FiberBlock& block) noexcept {
  FiberBlock* newest = late_.load(std::memory_order_relaxed);
  do {
    block.next_free() = newest;
    // release pairs with the acquire in take_late(). Nobody takes a single one out, so no other list can stand in this one's place.
  } while (!late_.compare_exchange_weak(newest, &block, std::memory_order_release, std::memory_order_relaxed));
}

FiberBlock* BlockPool::take_late() noexcept {
  return late_.exchange(nullptr, std::memory_order_acquire);  // pairs with give_back_late()
}

}  // namespace cooperative::internal
