#pragma once

// What is made or found at the first use, whoever comes first. A static object within a function has a guard for that: in a child that was born
// while another thread had it, nobody lets it go, and the child waits for ever.
//
//     constinit MadeOnce<Pool> pool;                          // outlives every thread
//     Pool& the_pool() { return pool.get([] { return new Pool; }); }
//
//     constinit Known<int> processors{-1};
//     int count() { return processors.get([] { return count_processors(); }); }
//
// Thread safety: any thread, at any time.

#include <atomic>

#include "mothreads/internal/base/fork.h"

namespace mothreads::inline v0::internal {

// One caller makes it, and fork() waits for that; so making it calls no get() of a MadeOnce, nor waits for another thread. An exception of `make`
// goes to the caller, and the next tries again. It is never destroyed.
template <typename T>
class MadeOnce {
 public:
  // `make` gives a pointer to what lives for ever.
  template <typename Make>
  T& get(Make&& make) {
    T* const made = made_.load(std::memory_order_acquire);  // pairs with the release below
    return made != nullptr ? *made : make_it(make);
  }

 private:
  template <typename Make>
  [[gnu::cold]] T& make_it(Make& make) {
    const ForkWaits holds;
    T* made = made_.load(std::memory_order_relaxed);  // the mutex orders it
    if (made == nullptr) {
      made = make();
      made_.store(made, std::memory_order_release);
    }
    return *made;
  }

  std::atomic<T*> made_{nullptr};
};

// A number that is the same for all: who finds none looks for it, several at once if need be, and nobody waits.
template <typename Number>
class Known {
 public:
  // No number that `find` gives.
  explicit constexpr Known(Number unknown) noexcept : unknown_(unknown), number_(unknown) {}

  template <typename Find>
  Number get(Find&& find) {
    Number number = number_.load(std::memory_order_relaxed);  // the number is all there is to it
    if (number == unknown_) [[unlikely]] {
      number = find();
      number_.store(number, std::memory_order_relaxed);
    }
    return number;
  }

 private:
  const Number unknown_;
  std::atomic<Number> number_;
};

}  // namespace mothreads::inline v0::internal
