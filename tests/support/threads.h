#pragma once

// What tests of threads run and look at.

#include <string>
#include <vector>

#include "mothreads/signal.h"
#include "mothreads/thread.h"

namespace mothreads::inline v0::testing {

// The function of a thread that does nothing until it is told to stop.
inline void until_stopped(Signal please_stop) { please_stop.wait(); }

inline std::vector<std::string> names_of(const std::vector<Thread>& threads) {
  std::vector<std::string> names;
  for (const Thread& thread : threads) names.push_back(thread.name());
  return names;
}

}  // namespace mothreads::testing
