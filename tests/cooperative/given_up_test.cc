// What functions throw whose caller has given up on them: by one rule, see in_parallel.h.

#include <functional>
#include <optional>
#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/blocking_pool.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/in_parallel.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "cooperative/with_timeout.h"
#include "mothreads/signal.h"
#include "mothreads/stopping.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/thread.h"
#include "tests/support/nothing_left.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Signal;
using mothreads::Thread;
using mothreads::testing::LogLines;
using mothreads::testing::take_unclaimed_failures;
using ::testing::SizeIs;

// Says that it has begun, and fails when it is given up.
class Function {
 public:
  void operator()() {
    begun.go();
    try {
      sleep(absl::InfiniteDuration());
    } catch (const FiberCancelled&) {
      throw std::runtime_error("could not tidy up");
    }
  }
  void until_told(const Signal& please_stop) {
    begun.go();
    please_stop.wait();
    throw std::runtime_error("could not tidy up");
  }

  const Signal begun;
};

class GivenUpTest : public ::testing::Test {
 protected:
  ~GivenUpTest() override {
    EXPECT_THAT(log.with("could not tidy up"), SizeIs(1));
    EXPECT_EQ(mothreads::unclaimed_failures(), 0);
  }

  // In a fiber that is cancelled when the function has begun. Nobody gets its failure.
  void cancel_caller_of(const std::function<void()>& call) {
    auto caller = spawn("caller", [&] { call(); });
    function.begun.wait();
    EXPECT_THROW(caller.cancel().join(), WasCancelled);
    EXPECT_EQ(take_unclaimed_failures(), 1);
  }

  LogLines log;
  Function function;
};

TEST_F(GivenUpTest, BesideTheFirstFailureItIsLogged) {
  EXPECT_THROW(in_parallel(std::ref(function), [] { throw std::out_of_range("too far"); }), std::out_of_range);
}

TEST_F(GivenUpTest, BesideATimeoutItIsLogged) { EXPECT_THROW(with_timeout(function.begun, std::ref(function)), Stopped); }

TEST_F(GivenUpTest, SoIsThatOfABlockingCall) {
  BlockingPool pool("pool");
  EXPECT_THROW(pool.call([&](const Signal& please_stop) { function.until_told(please_stop); }, function.begun), Stopped);
}

TEST_F(GivenUpTest, WithACancelledCallerItIsUnclaimed) {
  cancel_caller_of([&] { in_parallel(std::ref(function)); });
}

// The limit has come, but its caller is not told so.
TEST_F(GivenUpTest, SoItIsWhenTheLimitHasComeBefore) {
  Signal may_end;
  auto caller = spawn("caller", [&] {
    with_timeout(function.begun, [&] {
      try {
        function();
      } catch (const std::runtime_error&) {
        const NoCancel whole;
        may_end.wait();
        throw;
      }
    });
  });
  yield_until_idle();
  caller.cancel();
  may_end.go();
  EXPECT_THROW(caller.join(), WasCancelled);
  EXPECT_EQ(take_unclaimed_failures(), 1);
}

TEST_F(GivenUpTest, SoItIsInABlockingCall) {
  BlockingPool pool("pool");
  cancel_caller_of([&] { pool.call([&](const Signal& please_stop) { function.until_told(please_stop); }); });
}

TEST_F(GivenUpTest, SoItIsOnAnotherScheduler) {
  Signal has_one;
  std::optional<Scheduler> there;
  auto host = Thread::run("host", [&](const Signal& please_stop) {
    there.emplace(Scheduler::current());
    has_one.go();
    please_stop.wait();
  });
  has_one.wait();
  cancel_caller_of([&] { there->callback_result(std::ref(function)); });
}

}  // namespace
}  // namespace cooperative
