#include "cooperative/internal/stack/stacks.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <fstream>
#include <string>

#include <fmt/core.h>

#include "cooperative/errors.h"
#include "cooperative/internal/stack/sanitizers.h"
#include "cooperative/internal/stack/valgrind.h"
#include "mothreads/internal/base/made_once.h"

namespace cooperative::inline v0::internal {
namespace {

// Linux 6.13: pages that fault without a mapping of their own, so that a million guards fit vm.max_map_count.
constexpr int kMadviseGuardInstall = 102;

constexpr std::size_t kFirstSlab = 16;  // stacks
constexpr std::size_t kLargestSlab = 4096;
constexpr std::size_t kLargestStack = std::size_t{1} << 46;  // half of the address space

// Of all schedulers.
constinit std::atomic<bool> only_mapped_guards{false};
constinit std::atomic<std::size_t> mapped_stacks{0};
constinit std::atomic<std::size_t> tsan_stacks{0};

constinit mothreads::internal::Known<std::size_t> size_of_page{0};
std::size_t page_size() {
  return size_of_page.get([] { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); });
}

constinit mothreads::internal::Known<std::size_t> allowed_mappings{0};
std::size_t max_map_count() {
  return allowed_mappings.get([] {
    std::size_t allowed = 65530;  // the kernel's default
    std::ifstream("/proc/sys/vm/max_map_count") >> allowed;
    return allowed;
  });
}

// 0 and 1 for whether it does.
constinit mothreads::internal::Known<int> system_marks_guards{-1};

[[noreturn]] void refuse(int error, std::string_view fiber, std::string_view why) {
  throw NoStack(error, fmt::format("fiber \"{}\" cannot have a stack: {}", fiber, why));
}

// Counts one more of what there is a limit to. relaxed: the number is all there is to it.
bool count_up(std::atomic<std::size_t>& counter, std::size_t limit) {
  std::size_t count = counter.load(std::memory_order_relaxed);
  do {
    if (count >= limit) return false;
  } while (!counter.compare_exchange_weak(count, count + 1, std::memory_order_relaxed));
  return true;
}

// True when the guard is a mapping of its own.
bool install_guard(char* place, std::string_view fiber) {
  if (Stacks::has_marked_guards() && madvise(place, kStackGuard, kMadviseGuardInstall) == 0) return false;
  if (!count_up(mapped_stacks, max_mapped_stacks())) {
    refuse(ENOMEM, fiber,
           fmt::format("the fibers of this process have {} already, and each takes two of the {} mappings that vm.max_map_count "
                       "allows: raise that, or run it on Linux 6.13", max_mapped_stacks(), max_map_count()));
  }
  if (mprotect(place, kStackGuard, PROT_NONE) == 0) return true;
  const int error = errno;
  mapped_stacks.fetch_sub(1, std::memory_order_relaxed);
  refuse(error, fiber, error == ENOMEM ? "the process has as many mappings as vm.max_map_count allows: raise that" : "no guard");
}

// Whether more of it is in memory than may stay there. Who went deeper came by the pages below that, unless one function alone needs
// more than these; what the system has swapped out does not count.
bool went_deep(const Stack& stack) noexcept {
  constexpr std::size_t kPages = 64;
  std::array<unsigned char, kPages> resident;
  if (stack.size <= kKeptOfStack) return false;
  const std::size_t bytes = std::min(stack.size - kKeptOfStack, kPages * page_size());
  char* const end = stack.lowest + stack.size - kKeptOfStack;
  if (mincore(end - bytes, bytes, resident.data()) != 0) return false;
  return std::any_of(resident.begin(), resident.begin() + bytes / page_size(), [](unsigned char flags) { return (flags & 1) != 0; });
}

}  // namespace

std::size_t max_mapped_stacks() {
  const std::size_t count = max_map_count() / 8 * 3;
  return kTsan ? std::min(count, kMaxTsanStacks / 2) : count;  // the runtime's own mappings count, too
}

bool Stacks::has_marked_guards() {
  const int has = system_marks_guards.get([] {
    void* probe = mmap(nullptr, page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (probe == MAP_FAILED) return 0;
    const bool works = madvise(probe, page_size(), kMadviseGuardInstall) == 0;
    munmap(probe, page_size());
    return works ? 1 : 0;
  });
  return has == 1 && !only_mapped_guards.load(std::memory_order_relaxed);
}

void Stacks::set_only_mapped_guards(bool only) noexcept { only_mapped_guards.store(only, std::memory_order_relaxed); }

Stacks::~Stacks() {
  while (Slab* slab = newest_slab_) {
    newest_slab_ = slab->older;
    for (std::size_t i = 0; i < slab->used; ++i) {
      tell_valgrind_of_its_end(slab->stacks[i].valgrind_number);
      if (slab->stacks[i].tsan_fiber == nullptr) continue;
      destroy_tsan_fiber(slab->stacks[i].tsan_fiber);
      tsan_stacks.fetch_sub(1, std::memory_order_relaxed);
    }
    munmap(slab->memory, slab->bytes);
    mapped_stacks.fetch_sub(slab->mapped, std::memory_order_relaxed);
    delete slab;
  }
}

Stacks::Pool& Stacks::pool_of(std::size_t size) noexcept {
  if (size == kDefaultStackSize) return default_size_;
  return *std::find_if(other_sizes_.begin(), other_sizes_.end(), [&](const Pool& pool) { return pool.size == size; });
}

Stacks::Slab& Stacks::slab_for(std::size_t size, std::string_view fiber) {
  std::size_t largest = 0;
  for (Slab* slab = newest_slab_; slab != nullptr; slab = slab->older) {
    if (slab->stack_size != size) continue;
    if (slab->used < slab->count) return *slab;
    largest = slab->count;  // none of the older ones has room
    break;
  }
  // Big ones come one by one.
  const std::size_t count = size > 1024 * 1024 ? 1 : std::clamp(2 * largest, kFirstSlab, kLargestSlab);
  const std::size_t bytes = count * (kStackGuard + size);
  auto slab = std::make_unique<Slab>(Slab{.memory = nullptr, .bytes = bytes, .stack_size = size, .count = count,
                                          .stacks = std::make_unique<Stack[]>(count)});
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE;
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, kFlags, -1, 0);
  if (memory == MAP_FAILED) refuse(errno, fiber, fmt::format("the system has no room for one of {} bytes", size));
  madvise(memory, bytes, MADV_NOHUGEPAGE);  // MAP_STACK says so only since Linux 6.7
  slab->memory = static_cast<char*>(memory);
  slab->older = newest_slab_;
  // A handler may look now: nothing may be half done before this.
  std::atomic_signal_fence(std::memory_order_release);
  newest_slab_ = slab.release();
  return *newest_slab_;
}

Stack& Stacks::take_slowly(std::size_t size, std::string_view fiber) {
  if (size > kLargestStack) refuse(ENOMEM, fiber, fmt::format("the system has no room for one of {} bytes", size));
  size = std::max(size, kMinStackSize);
  size = (size + page_size() - 1) / page_size() * page_size();
  if (size != kDefaultStackSize &&
      std::none_of(other_sizes_.begin(), other_sizes_.end(), [&](const Pool& pool) { return pool.size == size; })) {
    other_sizes_.push_back({.size = size});
  }
  Pool& pool = pool_of(size);
  if (pool.free != nullptr) return pool.pop();
  if (Stack* stack = pool.looked_at) {
    pool.looked_at = stack->next;
    return *stack;
  }
  Slab& slab = slab_for(size, fiber);
  char* const place = slab.memory + slab.used * (kStackGuard + size);
  Stack& stack = slab.stacks[slab.used];
  if (stack.lowest == nullptr) {
    if (install_guard(place, fiber)) ++slab.mapped;
    // Equal stacks would compete for the same lines of the cache: each begins some lines further down, within one half of its top page.
    constexpr std::size_t kLine = 64;
    constexpr std::size_t kColours = 32;
    stack.size = size;
    stack.lowest = place + kStackGuard;
    stack.top = stack.lowest + size - slab.used * 13 % kColours * kLine;
    stack.valgrind_number = tell_valgrind_of_stack(stack.lowest, size);
  }
  if (kTsan) {
    if (!count_up(tsan_stacks, kMaxTsanStacks)) {
      refuse(ENOMEM, fiber, fmt::format("the fibers of this process have {} already, and ThreadSanitizer can bear no more", kMaxTsanStacks));
    }
    stack.tsan_fiber = make_tsan_fiber();
  }
  ++slab.used;
  return stack;
}

bool Stacks::look_at_some(Pool& pool) noexcept {
  if (pool.free == nullptr) return false;
  constexpr std::size_t kSome = 32;
  std::array<Stack*, kSome> stacks;
  std::size_t count = 0;
  while (count < kSome && pool.free != nullptr) {
    Stack& stack = *(stacks[count++] = &pool.pop());
    if (went_deep(stack)) madvise(stack.lowest, stack.size - kKeptOfStack, MADV_DONTNEED);
  }
  // The last in stays the first out.
  while (count > 0) {
    Stack& stack = *stacks[--count];
    stack.next = pool.looked_at;
    pool.looked_at = &stack;
  }
  return true;
}

bool Stacks::tidy() noexcept {
  if (look_at_some(default_size_)) return true;
  return std::any_of(other_sizes_.begin(), other_sizes_.end(), [](Pool& pool) { return look_at_some(pool); });
}

const Stack* Stacks::guarded_by(const void* address) const noexcept {
  const auto* at = static_cast<const char*>(address);
  for (const Slab* slab = newest_slab_; slab != nullptr; slab = slab->older) {
    if (at < slab->memory || at >= slab->memory + slab->bytes) continue;
    const auto offset = static_cast<std::size_t>(at - slab->memory);
    const Stack& stack = slab->stacks[offset / (kStackGuard + slab->stack_size)];
    return stack.lowest != nullptr && at < stack.lowest ? &stack : nullptr;
  }
  return nullptr;
}

}  // namespace cooperative::internal
