// A million fibers with guarded stacks, at the kernel's default limits; and where there is a limit, as many as it allows and one more.

#include <cstddef>
#include <fstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/internal/scheduler/scheduler_core.h"
#include "cooperative/internal/stack/sanitizers.h"
#include "cooperative/internal/stack/stacks.h"
#include "cooperative/sleep.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "tests/support/readable.h"

namespace cooperative::inline v0 {
namespace {

using internal::Stacks;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::testing::Readable;
using ::testing::HasSubstr;

std::size_t count_mappings() {
  std::ifstream maps("/proc/self/maps");
  std::size_t count = 0;
  for (std::string line; std::getline(maps, line);) ++count;
  return count;
}

struct Most {
  std::size_t fibers;
  bool is_limit;  // one more cannot have a stack
};

Most most_here() {
  if (internal::kTsan) return {internal::kMaxTsanStacks, true};
  if (internal::kAsan) return {20'000, false};  // its own memory for each stack is more than the stack
  if (!Stacks::has_marked_guards()) return {internal::max_mapped_stacks(), true};
  return {1'000'000, false};
}

// On a thread of its own, whose end gives all stacks back to the system.
void park_wake_and_join(Most most) {
  Thread::run("host", [most](Signal) {
    Event<> wake(Reset::manual);
    std::size_t parked = 0;
    std::size_t woken = 0;
    std::size_t unguarded = 0;
    Readable is_readable;
    const auto wait = [&] {
      const internal::Stack& stack = *internal::SchedulerCore::current().running_fiber()->runnable.stack;
      if (is_readable(stack.lowest - 1) || is_readable(stack.lowest - internal::kStackGuard)) ++unguarded;
      ++parked;
      wake.wait();
      ++woken;
    };
    std::vector<Fiber<void>> fibers;
    fibers.reserve(most.fibers);
    for (std::size_t i = 0; i < most.fibers; ++i) fibers.push_back(spawn("one of many", wait));
    yield();
    EXPECT_EQ(parked, most.fibers);
    EXPECT_EQ(unguarded, 0u);
    if (!most.is_limit) {
      EXPECT_LT(count_mappings(), 10'000u);
    } else {
      auto late = spawn("one too many", wait);
      try {
        late.join();
        ADD_FAILURE() << "it had a stack";
      } catch (const NoStack& refused) {
        EXPECT_THAT(refused.what(), HasSubstr("fiber \"one too many\" cannot have a stack: the fibers of this process have " +
                                              std::to_string(most.fibers) + " already"));
      }
    }
    wake.signal();
    for (auto& fiber : fibers) fiber.join();
    EXPECT_EQ(woken, most.fibers);
    // There is room again.
    EXPECT_EQ(spawn("after", [] { return 7; }).join(), 7);
  }).join();
}

TEST(ManyFibersTest, AMillionGuardedOnesAreParkedWokenAndJoined) { park_wake_and_join(most_here()); }

TEST(ManyFibersTest, WhereGuardsAreMappingsAsManyAsTheyAllowAndNotOneMore) {
  Stacks::set_only_mapped_guards(true);
  park_wake_and_join({internal::max_mapped_stacks(), true});
  Stacks::set_only_mapped_guards(false);
}

}  // namespace
}  // namespace cooperative
