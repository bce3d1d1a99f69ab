#pragma once

// The contexts that share an OS thread, as a report shows them. Their host says what they are: a report knows no kinds of them.

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "mothreads/instant.h"

namespace mothreads::inline v0::internal {

struct HostedContext {
  int depth = 0;      // in the tree of those contexts; 0 for the thread's own stack
  std::string kind;   // "fiber"
  std::string state;  // "waits for signal saved", "has not begun"
  std::optional<Instant> since;  // of its wait, by the real clock
  std::string owner;             // as WaitReport's
  std::string name;
  bool takes_stop = false;
  bool told_to_stop = false;
  bool is_cancelled = false;
  std::vector<void*> stack;  // return addresses, the innermost first
};

struct HostedContexts {
  std::string kinds;                 // "fibers"
  std::vector<HostedContext> shown;  // the thread's own stack, then each before what runs under it, the newest first
  std::size_t left_out = 0;
  std::size_t told = 0;  // as many there were when all were told to stop; 0 before
  std::size_t alive = 0;
};

}  // namespace mothreads::internal
