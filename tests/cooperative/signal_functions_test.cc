// then() functions on fibers: how long a chain may be, what is done while one waits, and that fibers do not share what was put off.

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
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "tests/support/sanitized.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Misuse;
using mothreads::Signal;
using mothreads::testing::LogLines;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Order = std::vector<std::string>;

TEST(SignalFunctionsTest, AChainNeedsNoMoreOfAStackThanOneLink) {
  constexpr int kLinks = mothreads::testing::kSanitized ? 5'000 : 100'000;
  for (const bool goes : {true, false}) {
    int runs = 0;
    spawn({.name = "small", .stack_size = std::size_t{64} * 1024}, [&] {
      Signal first;
      Signal last = first;
      for (int i = 0; i < kLinks; ++i) {
        Signal next;
        last.then([next, &runs] {
          ++runs;
          next.go();
        });
        last = next;
      }
      if (goes) first.go();
    }).join();
    EXPECT_EQ(runs, goes ? kLinks : 0);
  }
}

TEST(SignalFunctionsTest, OneThatWaitsForAnEventHasItSignalledByWhatItSetOff) {
  LogLines lines;
  spawn("fiber", [] {
    const Signal a, b;
    Event<int> event;
    b.then([&] { event.signal(7); });
    int got = 0;
    a.then([&] {
      b.go();
      got = event.wait(absl::Seconds(1));
    });
    a.go();
    EXPECT_EQ(got, 7);
  }).join();
}

TEST(SignalFunctionsTest, WhatIsDoneInTheMiddleOfSuchAWaitMayNotWait) {
  LogLines lines;
  std::string refusal;
  spawn("fiber", [&] {
    const Signal a, b;
    Event<int> event;
    b.then([&] {
      try {
        sleep(absl::Milliseconds(1));
      } catch (const Misuse& misuse) {
        refusal = misuse.what();
      }
      event.signal(7);
    });
    a.then([&] {
      b.go();
      EXPECT_EQ(event.wait(), 7);
    });
    a.go();
  }).join();
  EXPECT_THAT(refusal, HasSubstr("inside a wait of another such function"));
}

TEST(SignalFunctionsTest, OneThatWaitsForASignalMayHaveOthersWaitMeanwhile) {
  LogLines lines;
  Order order;
  spawn("fiber", [&] {
    const Signal a, b, done;
    b.then([&] {
      yield();
      order.push_back("b");
      done.go();
    });
    a.then([&] {
      b.go();
      done.wait();
      order.push_back("a");
    });
    a.go();
  }).join();
  EXPECT_THAT(order, ElementsAre("b", "a"));
}

// What one fiber has put off is no other's business.
TEST(SignalFunctionsTest, AnotherFiberRunsItsOwnAtOnceWhileOneIsParkedInsideOfOne) {
  LogLines lines;
  Order order;
  const Signal a, b, c, may_end;
  b.then([&] { order.push_back("b"); });
  c.then([&] { order.push_back("c"); });
  a.then([&] {
    may_end.wait();
    order.push_back("a1");
    b.go();
  });
  a.then([&] { order.push_back("a2"); });
  auto parked = spawn("parked", [&] { a.go(); });
  auto other = spawn("other", [&] {
    c.go();
    order.push_back("after c");
    may_end.go();
  });
  other.join();
  parked.join();
  EXPECT_THAT(order, ElementsAre("c", "after c", "a1", "a2", "b"));
}

TEST(SignalFunctionsTest, TheEndOfAFiberCannotBeForged) {
  auto fiber = spawn("fiber", [](const Signal& please_stop) { please_stop.wait(); });
  const Signal stopped = fiber.stopped();
  try {
    stopped.go();
    ADD_FAILURE() << "it went";
  } catch (const Misuse& misuse) {
    EXPECT_THAT(misuse.what(), HasSubstr("stopped of fiber"));
    EXPECT_THAT(misuse.what(), HasSubstr("stop()"));
  }
  EXPECT_FALSE(stopped);
  EXPECT_TRUE(fiber.please_stop().go());  // a request, which anybody may make
  fiber.join();
  EXPECT_TRUE(stopped);
}

}  // namespace
}  // namespace cooperative
