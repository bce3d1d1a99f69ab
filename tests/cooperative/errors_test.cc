#include "cooperative/errors.h"

#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cooperative/blocking_pool.h"
#include "cooperative/callback_queue.h"
#include "cooperative/event_queue.h"
#include "cooperative/fiber.h"
#include "cooperative/fiber_group.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "mothreads/misuse.h"
#include "mothreads/thread.h"
#include "tests/support/exceptions.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::testing::what_of;

static_assert(!std::is_base_of_v<std::exception, FiberCancelled>);
static_assert(std::is_base_of_v<std::exception, WasCancelled>);

TEST(ErrorsTest, NameWhatTheyAreAbout) {
  auto fiber = spawn("sleeper", [] { sleep(absl::InfiniteDuration()); });
  EXPECT_EQ(what_of<Timedout>([&] { fiber.join(absl::ZeroDuration()); }), "the join of fiber \"sleeper\" timed out before it had ended");
  EXPECT_EQ(what_of<WasCancelled>([&] { fiber.cancel().join(); }), "fiber \"sleeper\" was cancelled: it has no result");
  EventQueue<int> queue;
  queue.close();
  EXPECT_EQ(what_of<Closed>([&] { queue.wait(); }), "the queue is closed, and empty");
}

TEST(ErrorsTest, AFiberWithoutAStackEndsWithWhy) {
  auto argument = std::make_shared<int>(1);
  auto fiber = spawn({.name = "monster", .stack_size = SIZE_MAX}, [argument] {});
  auto next = spawn("next", [] { return 2; });
  EXPECT_THAT(what_of<NoStack>([&] { fiber.join(); }),
              ::testing::StartsWith("fiber \"monster\" cannot have a stack: the system has no room for one of "));
  EXPECT_EQ(argument.use_count(), 1);
  EXPECT_EQ(next.join(), 2);
}

TEST(ErrorsTest, AsManyFibersAsMayBeAndNotOneMore) {
  mothreads::Thread::run("host", [](mothreads::Signal) {
    constexpr std::size_t kMax = 5;
    Scheduler::current().set_options({.max_fibers = kMax});
    std::vector<Fiber<void>> fibers;
    for (std::size_t i = 0; i < kMax; ++i) fibers.push_back(spawn("one", [] {}));
    EXPECT_EQ(what_of<FiberLimit>([] { static_cast<void>(spawn("too many", [] {})); }),
              "fiber \"too many\" cannot be made: its scheduler has 5 already, as many as SchedulerOptions::max_fibers allows");
    fibers.front().join();
    EXPECT_EQ(spawn("again", [] { return 1; }).join(), 1);
  }).join();
}

TEST(ErrorsTest, ANameWithAZeroByteIsRefused) {
  const std::string bad("a\0b", 3);
  const auto refusal = [](auto make) { return what_of<mothreads::Misuse>(make); };
  EXPECT_THAT(refusal([&] { spawn(bad, [] {}).join(); }), ::testing::HasSubstr("\"a\\x00b\" cannot be the name of a fiber"));
  EXPECT_THAT(refusal([&] { FiberGroup group(bad); }), ::testing::HasSubstr("\"please_stop for a\\x00b\" cannot be the name of"));
  EXPECT_THAT(refusal([&] { CallbackQueue queue(Scheduler::current(), {.name = bad}); }), ::testing::HasSubstr("\"a\\x00b\" cannot be the name of a CallbackQueue"));
  EXPECT_THAT(refusal([&] { BlockingPool pool(bad); }), ::testing::HasSubstr("a\\x00b\" cannot be the name of"));
  EXPECT_EQ(spawn("good", [] { return 1; }).join(), 1) << "nothing was changed";
}

}  // namespace
}  // namespace cooperative
