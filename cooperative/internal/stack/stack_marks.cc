#include "cooperative/internal/stack/stack_marks.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace cooperative::inline v0::internal {
namespace {

std::size_t page_size() {
  static const auto size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return size;
}

// The first page that is in memory. One that the system has swapped out counts as not used.
char* first_resident(const Stack& stack) noexcept {
  constexpr std::size_t kPages = 256;
  std::array<unsigned char, kPages> resident;
  char* const end = stack.lowest + stack.size;
  for (char* at = stack.lowest; at < end; at += kPages * page_size()) {
    const std::size_t bytes = std::min(static_cast<std::size_t>(end - at), kPages * page_size());
    if (mincore(at, bytes, resident.data()) != 0) return stack.lowest;
    const auto last = resident.begin() + bytes / page_size();
    const auto found = std::find_if(resident.begin(), last, [](unsigned char flags) { return (flags & 1) != 0; });
    if (found != last) return at + static_cast<std::size_t>(found - resident.begin()) * page_size();
  }
  return end;
}

// The sanitizers would take the stack of somebody for an error, and the words between variables too.
[[gnu::noinline, gnu::no_sanitize_address, gnu::no_sanitize_thread]] char* first_used_word(char* from, char* end) noexcept {
  auto* word = reinterpret_cast<volatile std::uintptr_t*>(from);
  while (reinterpret_cast<char*>(const_cast<std::uintptr_t*>(word)) < end && *word == 0) ++word;
  return reinterpret_cast<char*>(const_cast<std::uintptr_t*>(word));
}

// Calls nothing: what it zeroes is below its own frame.
[[gnu::noinline, gnu::no_sanitize_address, gnu::no_sanitize_thread]] void zero(char* from, char* end) noexcept {
  for (auto* word = reinterpret_cast<volatile std::uintptr_t*>(from);
       reinterpret_cast<char*>(const_cast<std::uintptr_t*>(word)) < end; ++word) {
    *word = 0;
  }
}

}  // namespace

std::size_t most_used(const Stack& stack) noexcept {
  char* deepest = first_resident(stack);
  if (stack.began_clean) deepest = first_used_word(deepest, stack.top);
  return deepest < stack.top ? static_cast<std::size_t>(stack.top - deepest) : 0;
}

void StackMarks::clean(Stack& stack) noexcept {
  constexpr std::uintptr_t kOwnFrames = 1024;  // zero()'s, and what may lie below a stack pointer
  const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)) & ~std::uintptr_t{15};
  char* const end = stack.lowest + (here - kOwnFrames - reinterpret_cast<std::uintptr_t>(stack.lowest));
  char* const page = end - reinterpret_cast<std::uintptr_t>(end) % page_size();
  madvise(stack.lowest, static_cast<std::size_t>(page - stack.lowest), MADV_DONTNEED);
  zero(page, end);
  stack.began_clean = true;
}

void StackMarks::record(const Stack& stack, std::string_view name) {
  auto found = marks_.find(name);
  if (found == marks_.end()) {
    found = marks_.try_emplace(marks_.size() < kMaxNames ? std::string(name) : std::string("(others)")).first;
  }
  Mark& mark = found->second;
  ++mark.fibers;
  const std::size_t used = most_used(stack);
  if (used <= mark.most) return;
  mark.most = used;
  mark.size = stack.size;
}

}  // namespace cooperative::internal
