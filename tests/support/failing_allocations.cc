#include "tests/support/failing_allocations.h"

#include <cstddef>
#include <cstdint>
#include <new>

namespace {

constinit thread_local std::int64_t fails_after = -1;  // negative: none fails
constinit thread_local bool has_failed_here = false;

// Whether the allocation that is about to be made is the one.
bool is_to_fail() noexcept {
  if (fails_after < 0) return false;
  const bool fails = fails_after-- == 0;
  if (fails) has_failed_here = true;
  return fails;
}

}  // namespace

namespace mothreads::inline v0::testing {

FailAllocation::FailAllocation(std::uint64_t after) noexcept {
  fails_after = static_cast<std::int64_t>(after);
  has_failed_here = false;
}
FailAllocation::~FailAllocation() { fails_after = -1; }

bool FailAllocation::has_failed() const noexcept { return has_failed_here; }

}  // namespace mothreads::testing

// The linker turns each use of an operator new into one of these (--wrap, see BUILD.bazel): a sanitizer's operators cannot be
// replaced, only gone round.
extern "C" {

void* __real__Znwm(std::size_t size);
void* __real__Znam(std::size_t size);
void* __real__ZnwmRKSt9nothrow_t(std::size_t size, const std::nothrow_t& tag);
void* __real__ZnamRKSt9nothrow_t(std::size_t size, const std::nothrow_t& tag);
void* __real__ZnwmSt11align_val_t(std::size_t size, std::align_val_t align);
void* __real__ZnamSt11align_val_t(std::size_t size, std::align_val_t align);
void* __wrap__Znwm(std::size_t size);
void* __wrap__Znam(std::size_t size);
void* __wrap__ZnwmRKSt9nothrow_t(std::size_t size, const std::nothrow_t& tag);
void* __wrap__ZnamRKSt9nothrow_t(std::size_t size, const std::nothrow_t& tag);
void* __wrap__ZnwmSt11align_val_t(std::size_t size, std::align_val_t align);
void* __wrap__ZnamSt11align_val_t(std::size_t size, std::align_val_t align);

void* __wrap__Znwm(std::size_t size) {
  if (is_to_fail()) throw std::bad_alloc();
  return __real__Znwm(size);
}
void* __wrap__Znam(std::size_t size) {
  if (is_to_fail()) throw std::bad_alloc();
  return __real__Znam(size);
}
void* __wrap__ZnwmRKSt9nothrow_t(std::size_t size, const std::nothrow_t& tag) {
  return is_to_fail() ? nullptr : __real__ZnwmRKSt9nothrow_t(size, tag);
}
void* __wrap__ZnamRKSt9nothrow_t(std::size_t size, const std::nothrow_t& tag) {
  return is_to_fail() ? nullptr : __real__ZnamRKSt9nothrow_t(size, tag);
}
void* __wrap__ZnwmSt11align_val_t(std::size_t size, std::align_val_t align) {
  if (is_to_fail()) throw std::bad_alloc();
  return __real__ZnwmSt11align_val_t(size, align);
}
void* __wrap__ZnamSt11align_val_t(std::size_t size, std::align_val_t align) {
  if (is_to_fail()) throw std::bad_alloc();
  return __real__ZnamSt11align_val_t(size, align);
}

}  // extern "C"
