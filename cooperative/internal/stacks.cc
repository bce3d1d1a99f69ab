#include "cooperative/internal/stacks.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include <fmt/core.h>

#include "cooperative/internal/sanitizers.h"

namespace cooperative::internal {
namespace {

// Linux 6.13: a page that faults without a mapping of its own, so that a million of them fit vm.max_map_count.
constexpr int kMadviseGuardInstall = 102;

constexpr std::size_t kFirstSlab = 16;  // stacks
constexpr std::size_t kLargestSlab = 4096;

std::size_t page_size() {
  static const auto size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return size;
}

bool install_guard(char* page) {
  static const bool has_guards = [] {
    void* probe = mmap(nullptr, page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (probe == MAP_FAILED) return false;
    const bool works = madvise(probe, page_size(), kMadviseGuardInstall) == 0;
    munmap(probe, page_size());
    return works;
  }();
  if (has_guards && madvise(page, page_size(), kMadviseGuardInstall) == 0) return true;
  return mprotect(page, page_size(), PROT_NONE) == 0;
}

[[noreturn]] void refuse(int error, std::string_view fiber, std::string_view hint) {
  throw std::system_error(error, std::generic_category(), fmt::format("fiber \"{}\" cannot have a stack{}", fiber, hint));
}

}  // namespace

Stacks::~Stacks() {
  for (Slab& slab : slabs_) {
    for (Stack& stack : slab.stacks) destroy_tsan_fiber(stack.tsan_fiber);
    munmap(slab.memory, slab.bytes);
  }
}

Stack*& Stacks::list_for(std::size_t size) noexcept {
  return std::find_if(other_sizes_.begin(), other_sizes_.end(), [&](const Size& entry) { return entry.size == size; })->free;
}

Stacks::Slab& Stacks::slab_for(std::size_t size, std::string_view fiber) {
  std::size_t largest = 0;
  for (Slab& slab : slabs_) {
    if (slab.stack_size != size) continue;
    if (slab.used < slab.stacks.size()) return slab;
    largest = std::max(largest, slab.stacks.size());
  }
  // Big ones come one by one.
  const std::size_t count = size > 1024 * 1024 ? 1 : std::clamp(2 * largest, kFirstSlab, kLargestSlab);
  const std::size_t bytes = count * size;
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE;
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, kFlags, -1, 0);
  if (memory == MAP_FAILED) refuse(errno, fiber, "");
  madvise(memory, bytes, MADV_NOHUGEPAGE);  // MAP_STACK says so only since Linux 6.7
  return slabs_.emplace_back(Slab{static_cast<char*>(memory), bytes, size, std::vector<Stack>(count), 0});
}

Stack& Stacks::take_slowly(std::size_t size, std::string_view fiber) {
  size = std::max(size, kMinStackSize);
  size = (size + page_size() - 1) / page_size() * page_size();
  if (size != kDefaultStackSize) {
    if (std::none_of(other_sizes_.begin(), other_sizes_.end(), [&](const Size& entry) { return entry.size == size; })) {
      other_sizes_.push_back({size, nullptr});
    }
    Stack*& list = list_for(size);
    if (list != nullptr) {
      Stack& stack = *list;
      list = stack.next;
      return stack;
    }
  }
  Slab& slab = slab_for(size, fiber);
  char* const place = slab.memory + slab.used * size;
  if (!install_guard(place)) {
    refuse(errno, fiber, errno == ENOMEM ? ": the guards of all stacks need more mappings than vm.max_map_count allows" : "");
  }
  Stack& stack = slab.stacks[slab.used];
  // Equal stacks would compete for the same lines of the cache: each begins some lines further down, within one half of its top page.
  constexpr std::size_t kLine = 64;
  constexpr std::size_t kColours = 32;
  stack.top = place + size - slab.used * 13 % kColours * kLine;
  stack.lowest = place + page_size();
  stack.size = size;
  ++slab.used;
  return stack;
}

const Stack* Stacks::guarded_by(const void* address) const noexcept {
  const auto* at = static_cast<const char*>(address);
  for (const Slab& slab : slabs_) {
    if (at < slab.memory || at >= slab.memory + slab.bytes) continue;
    const auto offset = static_cast<std::size_t>(at - slab.memory);
    const Stack& stack = slab.stacks[offset / slab.stack_size];
    return stack.lowest != nullptr && at < stack.lowest ? &stack : nullptr;
  }
  return nullptr;
}

}  // namespace cooperative::internal
