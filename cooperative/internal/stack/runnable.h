#pragma once

#include <cstdint>

#include "cooperative/internal/stack/stacks.h"
#include "mothreads/internal/wait/context.h"

namespace cooperative::inline v0::internal {

class SchedulerCore;

// What another thread hands to a scheduler. Linked in its inbox, and then in a list of what it does about it.
struct Posted {
  Posted* next = nullptr;
};

// What a scheduler switches to: a fiber, or the thread's own stack. All that a switch touches, in one line of the cache.
struct alignas(64) Runnable : Posted {
  explicit Runnable(mothreads::internal::Context& its_context) : context(&its_context) {}

  void* stack_pointer = nullptr;  // while parked
  mothreads::internal::Context* context;
  Stack* stack = nullptr;  // of a fiber that has begun; the thread's own has none
  // The C++ runtime's state of exceptions (Itanium ABI, __cxa_eh_globals) while parked.
  void* caught_exceptions = nullptr;
  unsigned int uncaught_exceptions = 0;
  bool has_begun = false;
  bool is_fiber = false;
  std::uint32_t max_acts = 0;  // successive operations on descriptors that need no wait; 0 for what its scheduler allows
  std::int32_t acts = 0;  // of the budget for each turn; 0 when each act is looked at: it is cancelled, or has a figure of its own
  void* asan_fake_stack = nullptr;
};

}  // namespace cooperative::internal
