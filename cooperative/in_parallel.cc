#include "cooperative/in_parallel.h"

#include <fmt/core.h>

#include "mothreads/log.h"

namespace cooperative::inline v0::internal {

void join_parts(FiberGroup& parts) {
  try {
    parts.join();
  } catch (const FibersFailed& failed) {
    const auto& ends = failed.ends();
    for (std::size_t i = 1; i < ends.size(); ++i) log_abandoned(ends[i].name, ends[i].exception);
    std::rethrow_exception(ends.front().exception);
  }
}

void throw_part_cancelled() { throw WasCancelled("a function of in_parallel was cancelled: there is no result"); }

std::string part_name(std::size_t number) { return fmt::format("{}, part {}", current_name(), number); }

void log_abandoned(std::string_view what, const std::exception_ptr& failure) {
  mothreads::log::warning("{}: a function that nobody waits for any more failed: {}", what, mothreads::log::describe(failure));
}

}  // namespace cooperative::internal
