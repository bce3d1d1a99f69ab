#pragma once

#include "mothreads/lock.h"
#include "tests/support/scripted_context.h"

namespace mothreads::inline v0::testing {

// Whether nobody is inside; asks as a context of its own. Its leaving wakes a waiter, as any does.
inline bool is_free(Lock& lock) {
  bool entered = false;
  static ScriptedContext& asker = ScriptedContext::make("asker");
  asker.run([&] {
    if (!lock.try_lock()) return;
    lock.unlock();
    entered = true;
  });
  return entered;
}

}  // namespace mothreads::testing
