#include "mothreads/internal/base/random_number.h"

#include <sys/random.h>
#include <sys/types.h>

#include <chrono>
#include <utility>

namespace mothreads::inline v0::internal {
namespace {

constinit thread_local RandomSource* source_here = nullptr;

// For a system that has no numbers yet, in its first moments, or refuses them: two threads, or two processes, still differ.
std::uint64_t number_of_the_moment() noexcept {
  static thread_local const char here = 0;
  std::uint64_t value = static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count()) ^
                        (reinterpret_cast<std::uintptr_t>(&here) << 20);
  // The finalizer of splitmix64.
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

}  // namespace

RandomSource* RandomSource::exchange(RandomSource* source) noexcept { return std::exchange(source_here, source); }

std::uint64_t random_number() noexcept {
  if (source_here != nullptr) return source_here->draw_number();
  std::uint64_t number = 0;
  const ssize_t got = ::getrandom(&number, sizeof number, GRND_NONBLOCK);
  return got == ssize_t{sizeof number} ? number : number_of_the_moment();
}

double random_part() noexcept {
  constexpr int kBitsOfADouble = 53;
  return static_cast<double>(random_number() >> (64 - kBitsOfADouble)) * 0x1p-53;
}

}  // namespace mothreads::internal
