#pragma once

// How many fibers one scheduler's life has, how many it may have, and who waits until it has none. On the scheduler's thread.

#include <cstddef>
#include <string_view>

#include "mothreads/internal/wait/wait.h"

namespace cooperative::inline v0::internal {

// So many have room in the address space: a stack takes 80 KiB of it with its guard, unless another size was asked for.
inline constexpr std::size_t kDefaultMaxFibers = std::size_t{1} << 24;

class Population {
 public:
  Population() = default;
  Population(const Population&) = delete;
  Population& operator=(const Population&) = delete;

  // Throws FiberLimit when there are as many as may be.
  void check_limit(std::string_view name) const {
    if (alive_ >= max_) [[unlikely]] refuse(name);
  }
  void set_max(std::size_t count) noexcept { max_ = count; }

  std::size_t alive() const noexcept { return alive_; }
  // No fiber is alive, and none runs functions of its end.
  bool is_zero() const noexcept { return alive_ == 0 && finishing_ == 0; }
  bool has_finishing() const noexcept { return finishing_ != 0; }

  void add() noexcept { ++alive_; }
  void remove() noexcept { --alive_; }
  // Around the functions of users that are to know of an end.
  void begin_finishing() noexcept { ++finishing_; }
  void end_finishing() noexcept { --finishing_; }

  // The fibers that wait for is_zero().
  mothreads::internal::WaitList& waiters() noexcept { return waiters_; }

  // In the child of a fork().
  void leave_behind() noexcept;

 private:
  [[noreturn]] void refuse(std::string_view name) const;

  std::size_t alive_ = 0;
  std::size_t finishing_ = 0;  // so many have ended, and run functions of users that are to know
  std::size_t max_ = kDefaultMaxFibers;
  mothreads::internal::WaitList waiters_;
};

}  // namespace cooperative::internal
