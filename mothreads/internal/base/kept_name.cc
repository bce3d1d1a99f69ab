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
  std::atomic<std::uint32_t> names;  // so many share it
  std::uint32_t next_free;
};

// Number n lies in block n / kPerBlock. Blocks are made when they are needed, and stay.
constexpr std::uint32_t kPerBlock = 1024;
constexpr std::uint32_t kBlocks = 4096;
static_assert(kPerBlock * kBlocks == std::uint32_t{1} << KeptName::kNumberBits);
constinit std::array<std::atomic<Text*>, kBlocks> blocks{};

Text& text_of(std::uint32_t number) noexcept {
  // acquire pairs with the release in Numbers::take(), for those who have the number from elsewhere than its owner.
  return blocks[number / kPerBlock].load(std::memory_order_acquire)[number % kPerBlock];
}

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
    std::atomic<Text*>& block = blocks[next_ / kPerBlock];
    if (block.load(std::memory_order_relaxed) == nullptr) {
      // Not by malloc(), since it is never freed; nothing of it is in memory before it is used.
      void* const made = mmap(nullptr, kPerBlock * sizeof(Text), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (made == MAP_FAILED) return 0;
      block.store(static_cast<Text*>(made), std::memory_order_release);  // pairs with text_of()
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
  text.names.store(1, std::memory_order_relaxed);
  for (std::size_t i = 0; i < kWords; ++i) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes + i * sizeof word, sizeof word);
    // release: whoever reads this word, and then asks about the owner of the name that was here before, hears that it is no more.
    text.words[i].store(word, std::memory_order_release);
  }
}

std::uint32_t KeptName::share(std::uint32_t number) noexcept {
  if (number != 0) text_of(number).names.fetch_add(1, std::memory_order_relaxed);
  return number;
}

void KeptName::drop(std::uint32_t number) noexcept {
  // acq_rel: the next name in this memory comes after all that the owners of this one did.
  if (number != 0 && text_of(number).names.fetch_sub(1, std::memory_order_acq_rel) == 1) numbers.give_back(number);
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

}  // namespace mothreads::internal
