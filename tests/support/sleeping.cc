#include "tests/support/sleeping.h"

#include <thread>

#include "mothreads/internal/tree/node.h"

namespace mothreads::inline v0::testing {

std::optional<internal::WaitReport> sleeps_on(const Thread& thread) {
  std::optional<internal::WaitReport> report;
  thread.node(internal::kAccess).context().with([&](internal::Context& context) { report = context.waits_on(); });
  return report;
}

Instant await_sleeping(const Thread& thread, std::string_view what) {
  while (true) {
    if (const auto report = sleeps_on(thread); report && report->what.find(what) != std::string::npos) return report->since.value();
    give_way();
  }
}

void give_way() { std::this_thread::yield(); }

}  // namespace mothreads::testing
