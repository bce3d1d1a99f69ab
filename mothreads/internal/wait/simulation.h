#pragma once

// What stands in for the operating system where a test has all threads take turns on one: see cooperative/testing/world.h. Whoever
// runs in one finds it by Context::simulation(); nothing real may be waited for there.

#include <cstddef>
#include <string_view>

namespace mothreads::inline v0::internal {

class Context;
class MainNode;
class Node;
class TimerQueue;

class Simulation {
 public:
  // Throws Misuse when a thread `name` cannot be made below this one: what is outside does not end with the simulation.
  virtual void check_parent(const Node& parent, std::string_view name) const = 0;

  // To those inside it is the main thread's.
  virtual MainNode& main() noexcept = 0;
  // Where its Tills are kept.
  virtual TimerQueue& timers() noexcept = 0;

  // Makes a thread that will call function(argument) on a stack of at least so many bytes. It has not begun when this returns.
  virtual void start_thread(std::string_view name, void* (*function)(void*), void* argument, std::size_t stack_size) = 0;

  // Called by that function, once, when its context is there: gives the context its host.
  virtual void begin_thread(Context& context) = 0;

 protected:
  ~Simulation() = default;
};

}  // namespace mothreads::internal
