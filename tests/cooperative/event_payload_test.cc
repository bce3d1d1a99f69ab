#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/sleep.h"
#include "mothreads/misuse.h"
#include "tests/support/exceptions.h"
#include "tests/support/fiber_waits.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Misuse;
using mothreads::testing::failure;
using mothreads::testing::what_of;
using testing::has_none;
using testing::waiter_of;
using ::testing::ElementsAre;

using Names = std::vector<std::string>;

// --- exceptions ----------------------------------------------------------------------------------------------------------------

TEST(EventTest, AnExceptionIsThrownByTheFirstWhoWaits) {
  Event<int> event;
  Names ends;
  auto first = waiter_of(event, ends, "first");
  auto second = waiter_of(event, ends, "second");
  yield();
  event.signal_exception(failure("spilled"));
  event.signal(2);
  first.join();
  second.join();
  EXPECT_THAT(ends, ElementsAre("first: spilled", "second: 2"));
}

TEST(EventTest, AnExceptionWaitsForWhoComesLaterAndIsThrownOnce) {
  Event<int> event;
  event.signal_exception(failure("spilled"));
  EXPECT_TRUE(event);
  EXPECT_EQ(what_of<std::runtime_error>([&] { event.wait(absl::ZeroDuration()); }), "spilled");
  EXPECT_TRUE(has_none(event));
}

TEST(EventTest, AManualExceptionIsThrownByAllUntilReset) {
  Event<> event(Reset::manual);
  int thrown = 0;
  const auto wait = [&] { thrown += what_of<std::runtime_error>([&] { event.wait(); }) == "spilled" ? 1 : 0; };
  auto first = spawn("first", wait);
  auto second = spawn("second", wait);
  yield();
  event.signal_exception(failure("spilled"));
  first.join();
  second.join();
  wait();
  wait();
  EXPECT_EQ(thrown, 4);
  event.reset();
  EXPECT_TRUE(has_none(event));
}

TEST(EventTest, AValueOverwritesAnExceptionAndBack) {
  for (const Reset reset : {Reset::automatic, Reset::manual}) {
    Event<int> event(reset);
    event.signal_exception(failure("spilled"));
    event.signal(1);
    EXPECT_EQ(event.wait(), 1);
    event.signal(2);
    event.signal_exception(failure("spilled"));
    EXPECT_EQ(what_of<std::runtime_error>([&] { event.wait(); }), "spilled");
  }
}

TEST(EventTest, TakesWhatCanOnlyBeMoved) {
  Event<std::unique_ptr<int>> event;
  event.signal(std::make_unique<int>(1));
  EXPECT_EQ(*event.wait(), 1);
  auto waiter = spawn("waiter", [&] { return event.wait(); });
  yield();
  event.signal(std::make_unique<int>(2));
  EXPECT_EQ(*waiter.join(), 2);
}

TEST(EventTest, TakesWhatCannotBeAssigned) {
  struct Fixed {
    const int number;
  };
  Event<Fixed> event;
  event.signal(3);
  EXPECT_EQ(event.wait().number, 3);
}

struct CopyFails {
  explicit CopyFails(bool fails_) : fails(fails_) {}
  CopyFails(const CopyFails& other) : fails(other.fails) {
    if (fails) throw std::runtime_error("cannot be copied");
  }
  CopyFails(CopyFails&&) = default;
  CopyFails& operator=(CopyFails&&) = default;
  bool fails;
};

TEST(EventTest, AValueThatCannotBeCopiedLeavesWhoWaitsWaiting) {
  Event<CopyFails> event(Reset::manual);
  auto waiter = spawn("waiter", [&] { return event.wait(); });
  yield();
  EXPECT_THROW(event.signal(CopyFails(true)), std::runtime_error);
  event.reset();
  event.signal(CopyFails(false));
  EXPECT_FALSE(waiter.join().fails);
}

TEST(EventTest, SignalOfAVectorsSizeMakesOneOfThatSize) {
  Event<std::vector<int>> event;
  event.signal(3, 4);
  EXPECT_EQ(event.wait().size(), 3u);
}

TEST(EventTest, AManualOneOfWhatCannotBeCopiedIsMisuse) {
  EXPECT_THROW(Event<std::unique_ptr<int>>{Reset::manual}, mothreads::Misuse);
}

// A copy that threw left those before it woken, those behind it asleep, and the event there.
TEST(EventTest, ACopyThatThrowsHalfWayWakesNobodyAndLosesNoWakeUp) {
  struct Copied {
    explicit Copied(int its_copies) : copies(its_copies) {}
    Copied(Copied&&) noexcept = default;
    Copied(const Copied& other) : copies(other.copies) {
      if (--other.copies < 0) throw std::runtime_error("a copy");
    }
    mutable int copies;
  };
  Event<Copied> event(Reset::manual);
  const auto wait = [&] { return event.wait().copies; };
  auto first = spawn("first", wait);
  auto second = spawn("second", wait);
  auto third = spawn("third", wait);
  yield();
  EXPECT_THROW(event.signal(1), std::runtime_error);
  yield();
  EXPECT_TRUE(first.is_alive() && second.is_alive() && third.is_alive());
  EXPECT_FALSE(static_cast<bool>(event));
  event.signal(3);
  EXPECT_EQ(first.join(), 3);
  EXPECT_EQ(second.join(), 2);
  EXPECT_EQ(third.join(), 1);
  EXPECT_TRUE(static_cast<bool>(event));
}

}  // namespace
}  // namespace cooperative
