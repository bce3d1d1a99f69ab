#include "mothreads/internal/base/thread_stack.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <system_error>
#include <vector>

#include "mothreads/internal/base/fork.h"
#include "mothreads/internal/base/made_once.h"

namespace mothreads::inline v0::internal {
namespace {

constinit Known<std::size_t> size_of_page{0};
std::size_t page_size() {
  return size_of_page.get([] { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); });
}

constinit Known<std::size_t> size_by_default{0};
std::size_t default_size() {
  return size_by_default.get([] {
    pthread_attr_t attributes;
    std::size_t its_size = 0;
    pthread_getattr_default_np(&attributes);
    pthread_attr_getstacksize(&attributes, &its_size);
    pthread_attr_destroy(&attributes);
    return its_size;
  });
}

struct Kept {
  Kept() { stacks.reserve(kMaxKeptStacks); }
  std::mutex mutex;
  std::vector<char*> stacks;
};

Kept& kept();

constinit ForkPart part{
    .prepare = []() noexcept { kept().mutex.lock(); },
    .in_parent = []() noexcept { kept().mutex.unlock(); },
    .in_child = []() noexcept { kept().mutex.unlock(); },
};

Kept& kept() {
  static Kept& instance = *[] {
    auto* const made = new Kept;  // outlives every thread
    take_part_in_forks(part);
    return made;
  }();
  return instance;
}

// Before there is a second thread, where it can be: one that was about to make it at a fork() would be missed in the child.
[[maybe_unused]] const bool made_early = (kept(), true);

char* take_kept() {
  std::lock_guard lock(kept().mutex);
  if (kept().stacks.empty()) return nullptr;
  char* newest = kept().stacks.back();  // the one most likely in a cache
  kept().stacks.pop_back();
  return newest;
}

char* map(std::size_t size) {
  // Its address space counts against no limit until it is touched.
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE;
  void* memory = mmap(nullptr, page_size() + size, PROT_READ | PROT_WRITE, kFlags, -1, 0);
  if (memory == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "no room for a stack");
  if (mprotect(memory, page_size(), PROT_NONE) != 0) {
    const int error = errno;
    munmap(memory, page_size() + size);
    throw std::system_error(error, std::generic_category(), "a stack cannot have a guard page");
  }
  return static_cast<char*>(memory) + page_size();
}

// Gives back what a deep call once needed.
void trim(char* lowest, std::size_t size) {
  // Who went deeper came by here, unless one function alone needs more than this.
  constexpr std::size_t kLooked = 64;
  if (size < kMaxKeptBytes + kLooked * page_size()) return;
  const std::size_t deep = size - kMaxKeptBytes;
  unsigned char resident[kLooked];
  if (mincore(lowest + deep - kLooked * page_size(), kLooked * page_size(), resident) != 0) return;
  if (std::any_of(resident, resident + kLooked, [](unsigned char flags) { return (flags & 1) != 0; })) {
    madvise(lowest, deep, MADV_DONTNEED);
  }
}

}  // namespace

ThreadStack::ThreadStack(std::size_t size) {
  size_ = size == 0 ? default_size() : (size + page_size() - 1) / page_size() * page_size();
  if (size_ == default_size()) lowest_ = take_kept();
  if (lowest_ == nullptr) lowest_ = map(size_);
}

ThreadStack::~ThreadStack() {
  if (lowest_ == nullptr) return;
  if (size_ == default_size()) {
    trim(lowest_, size_);
    std::lock_guard lock(kept().mutex);
    if (kept().stacks.size() < kMaxKeptStacks) {
      kept().stacks.push_back(lowest_);
      return;
    }
  }
  munmap(lowest_ - page_size(), page_size() + size_);
}

}  // namespace mothreads::internal
