#include "mothreads/when_stuck.h"

#include <exception>

#include "mothreads/log.h"

namespace mothreads::inline v0 {

void WhenStuck::tell(const StopReport& report, internal::Access) const {
  if (function_ == nullptr) return;
  try {
    (*function_)(report);
  } catch (...) {
    log::error("a function that was told of a missed deadline has failed: {}", log::describe(std::current_exception()));
  }
}

}  // namespace mothreads
