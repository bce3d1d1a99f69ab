#include "mothreads/internal/base/kept_name.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <new>

#include "absl/base/thread_annotations.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/base/tiny_mutex.h"

namespace mothreads::inline v0::internal {
namespace {

constexpr std::size_t kWords = (KeptName::kMax + 1) / sizeof(std::uint64_t);

// The bytes, with zeros behind them. In words that are atomic: somebody may read what another name has put there since.
struct alignas(64) Text {
  std::array<std::atomic<std::uint64_t>, kWords> words;
  std::atomic<std::uint32_t> names;  // so many share it; and kTold
  std::uint32_t next_free;
};

// In Text::names: a holder has been told since it has this name.
constexpr std::uint32_t kTold = std::uint32_t{1} << 31;

// Number n lies in block n / kPerBlock. Blocks are made when they are needed, and stay.
constexpr std::uint32_t kPerBlock = 1024;
constexpr std::uint32_t kBlocks = 4096;
static_assert(kPerBlock * kBlocks == std::uint32_t{1} << KeptName::kNumberBits);
// Of each name the number of its holder's name, or 0; and above that a count of the changes, so that whoever reads twice sees each change. It
// lasts longer than the name.
using Holder = std::atomic<std::uint64_t>;
constexpr std::uint64_t kHoldersNumber = (std::uint64_t{1} << KeptName::kNumberBits) - 1;
struct Block {
  std::array<Text, kPerBlock> texts;
  std::array<Holder, kPerBlock> holders;  // in pages of their own, which are in memory where a holder has been told
};
constinit std::array<std::atomic<Block*>, kBlocks> blocks{};

Block& block_of(std::uint32_t number) noexcept {
  // acquire pairs with the release in Numbers::take(), for those who have the number from elsewhere than its owner.
  return *blocks[number / kPerBlock].load(std::memory_order_acquire);
}
Text& text_of(std::uint32_t number) noexcept { return block_of(number).texts[number % kPerBlock]; }
Holder& holder_of(std::uint32_t number) noexcept { return block_of(number).holders[number % kPerBlock]; }

class Numbers {
 public:
  // 0 when there are no more.
  std::uint32_t take() noexcept {
    TinyLock lock(mutex_);
    if (free_ != 0) {
      const std::uint32_t number = free_;
      free_ = text_of(number).next_free;
      return number;
    }
    if (next_ == kPerBlock * kBlocks) return 0;
    std::atomic<Block*>& block = blocks[next_ / kPerBlock];
    if (block.load(std::memory_order_relaxed) == nullptr) {
      // Not by malloc(), since it is never freed; nothing of it is in memory before it is used.
      void* const made = mmap(nullptr, sizeof(Block), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (made == MAP_FAILED) return 0;
      block.store(static_cast<Block*>(made), std::memory_order_release);  // pairs with block_of()
    }
    new (&text_of(next_)) Text;
    return next_++;
  }
  void give_back(std::uint32_t number) noexcept {
    TinyLock lock(mutex_);
    text_of(number).next_free = free_;
    free_ = number;
  }

  void before_fork() noexcept ABSL_NO_THREAD_SAFETY_ANALYSIS { mutex_.lock(); }
  void after_fork() noexcept ABSL_NO_THREAD_SAFETY_ANALYSIS { mutex_.unlock(); }

 private:
  TinyMutex mutex_;
  std::uint32_t free_ ABSL_GUARDED_BY(mutex_) = 0;
  std::uint32_t next_ ABSL_GUARDED_BY(mutex_) = 1;  // this and later ones have never been taken
};

constinit Numbers numbers;

// Names go on in the child of a fork().
constinit ForkPart part{
    .rank = ForkPart::Rank::leaf,
    .prepare = []() noexcept { numbers.before_fork(); },
    .in_parent = []() noexcept { numbers.after_fork(); },
    .in_child = []() noexcept { numbers.after_fork(); },
};
[[maybe_unused]] const bool takes_part = (take_part_in_forks(part), true);

}  // namespace

KeptName::KeptName(std::string_view name) noexcept : number_(numbers.take()) {
  if (number() == 0) return;
  char bytes[kMax + 1] = {};
  std::memcpy(bytes, name.data(), std::min(name.size(), kMax));
  Text& text = text_of(number());
  for (std::size_t i = 0; i < kWords; ++i) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes + i * sizeof word, sizeof word);
    // release: whoever reads this word, and then asks about the owner of the name that was here before, hears that it is no more.
    text.words[i].store(word, std::memory_order_release);
  }
  text.names.store(1, std::memory_order_release);  // pairs with share_of()
}

std::uint32_t KeptName::share(std::uint32_t number) noexcept {
  if (number != 0) text_of(number).names.fetch_add(1, std::memory_order_relaxed);
  return number;
}

void KeptName::drop(std::uint32_t number) noexcept {
  if (number == 0) return;
  // acq_rel: the next name in this memory comes after all that the owners of this one did.
  const std::uint32_t before = text_of(number).names.fetch_sub(1, std::memory_order_acq_rel);
  if ((before & ~kTold) != 1) return;
  if (before != 1) set_holder(number, 0);
  numbers.give_back(number);
}

KeptName KeptName::share_of(const KeptName& other) noexcept { return KeptName(share_now(other), Taken()); }

std::uint32_t KeptName::share_now(const KeptName& other) noexcept {
  while (const std::uint32_t number = other.number()) {
    std::atomic<std::uint32_t>& names = text_of(number).names;
    // A name that nobody has any more gets no share. acquire pairs with drop(), and with the constructor of a later name in this memory: the next
    // look at `other` finds what it has been given before these.
    std::uint32_t count = names.load(std::memory_order_acquire);
    while ((count & ~kTold) != 0 && !names.compare_exchange_weak(count, count + 1, std::memory_order_acquire, std::memory_order_acquire)) {
    }
    if ((count & ~kTold) == 0) continue;
    if (other.number() == number) return number;
    drop(number);
  }
  return 0;
}

void KeptName::read(std::uint32_t number, Copy& copy) noexcept {
  copy.bytes[0] = '\0';
  copy.size = 0;
  if (number == 0) return;
  const Text& text = text_of(number);
  for (std::size_t i = 0; i < kWords; ++i) {
    const std::uint64_t word = text.words[i].load(std::memory_order_acquire);  // pairs with the constructor
    std::memcpy(copy.bytes + i * sizeof word, &word, sizeof word);
  }
  copy.bytes[kMax] = '\0';
  copy.size = std::strlen(copy.bytes);
}

// The lock keeps a share of each holder's name until the count has changed.
void KeptName::set_holder(std::uint32_t number, std::uint32_t holder) noexcept {
  Holder& told = holder_of(number);
  const std::uint64_t before = told.load(std::memory_order_relaxed);  // nobody else writes it
  // release pairs with read_holder(), which reads the name behind it. Whoever reads of a later name in the memory of the one before finds, by
  // the release in drop(), that this has changed.
  told.store(((before | kHoldersNumber) + 1) | holder, std::memory_order_release);
  drop(static_cast<std::uint32_t>(before & kHoldersNumber));
}

void KeptName::tell_holder(KeptName&& holder) const noexcept {
  if (number() == 0 || holder.number() == 0) return;
  std::atomic<std::uint32_t>& names = text_of(number()).names;
  if ((names.load(std::memory_order_relaxed) & kTold) == 0) names.fetch_or(kTold, std::memory_order_relaxed);
  set_holder(number(), holder.number());
  holder.number_.store(0, std::memory_order_relaxed);  // the share has been taken
}

// relaxed: for those who tell and forget it.
std::uint32_t KeptName::holder_number_of(std::uint32_t number) noexcept {
  return static_cast<std::uint32_t>(holder_of(number).load(std::memory_order_relaxed) & kHoldersNumber);
}

void KeptName::read_holder(std::uint32_t number, Copy& copy) noexcept {
  constexpr int kTries = 3;  // a lock whose contexts follow each other so closely keeps nobody waiting for long
  for (int i = 0; number != 0 && i < kTries; ++i) {
    const Holder& told = holder_of(number);
    const std::uint64_t now = told.load(std::memory_order_acquire);  // pairs with set_holder()
    read(static_cast<std::uint32_t>(now & kHoldersNumber), copy);
    // relaxed: it comes behind the loads of the name, which acquire.
    if (told.load(std::memory_order_relaxed) == now) return;
  }
  read(0, copy);
}

}  // namespace mothreads::internal
