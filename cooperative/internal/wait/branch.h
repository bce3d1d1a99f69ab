#pragma once

// One of several things that one wait waits for: wait_for_any() and wait_for_all(). On the waiter's stack. Every type that takes part has a
// nested class Branch derived from this one, with a type Result and a take() that gives the result, or throws.

#include <cstddef>
#include <span>
#include <string>

#include "mothreads/internal/wait/wait.h"
#include "mothreads/until.h"

namespace cooperative::inline v0::internal {

class Branch {
 public:
  Branch() = default;
  Branch(const Branch&) = delete;
  Branch& operator=(const Branch&) = delete;

  // Their constructors throw Misuse on another thread, where that matters: before anything has been taken.

  // Takes hold of what is there already; false when there is nothing.
  virtual bool hold() = 0;

  // Lets its source end the wait; then it holds what came. False when something has come meanwhile, by another thread.
  virtual bool link(mothreads::internal::Wait& wait) = 0;
  virtual void unlink() noexcept = 0;
  virtual bool has_won() const noexcept = 0;

  // Of what it holds: throws what take() would throw, but no more.
  virtual void throw_failure() {}
  // Gives it back, as if it had never been taken.
  virtual void put_back() {}

  virtual std::string name() const = 0;

  // Its source where that gives what it has only once, ever; else null.
  virtual const void* source_of_one() const { return nullptr; }

 protected:
  ~Branch() = default;
};

// Waits until one of them holds something: the first in their order if several have it already. When the limit comes first throws
// Timedout, and nobody holds anything.
std::size_t await_first(std::span<Branch* const> branches, const mothreads::Until& until);

// Waits until all hold something, one after the other. When one fails, or the limit comes first, what the others hold is given back,
// and that is thrown. Throws Misuse when two would take the same.
void await_all(std::span<Branch* const> branches, const mothreads::Until& until);

}  // namespace cooperative::internal
