#include "mothreads/internal/stack_trace.h"

#include <array>
#include <memory>

#include <fmt/core.h>

#include "absl/debugging/symbolize.h"
#include "mothreads/internal/base/interrupt.h"

namespace mothreads::inline v0::internal {
namespace {

struct Frames {
  std::array<void*, 64> addresses{};
  int count = 0;
};

void take_frames(void* frames_pointer) {
  auto& frames = *static_cast<Frames*>(frames_pointer);
  frames.count = interrupted_frames(frames.addresses.data(), static_cast<int>(frames.addresses.size()));
}

}  // namespace

std::vector<std::string> stack_of_thread(std::uint64_t os_thread_id) {
  auto frames = std::make_unique<Frames>();
  const Interrupted interrupted = interrupt_thread(os_thread_id, take_frames, frames.get());
  if (interrupted == Interrupted::runs) static_cast<void>(frames.release());
  if (interrupted != Interrupted::ran) return {};
  return describe_frames(std::vector<void*>(frames->addresses.begin(), frames->addresses.begin() + frames->count));
}

std::vector<std::string> describe_frames(const std::vector<void*>& frames) {
  std::vector<std::string> lines;
  for (void* const frame : frames) {
    char symbol[512];
    // A return address belongs to the call before it.
    const bool known = absl::Symbolize(static_cast<char*>(frame) - 1, symbol, sizeof symbol);
    lines.push_back(fmt::format("#{} {} {}", lines.size(), frame, known ? symbol : "(unknown)"));
  }
  return lines;
}

}  // namespace mothreads::internal
