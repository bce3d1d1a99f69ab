// What wait_for_all refuses, before it takes anything, and what it gives back.

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/event_queue.h"
#include "cooperative/fiber.h"
#include "cooperative/sleep.h"
#include "cooperative/wait_for.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "mothreads/thread.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::testing::LogLines;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

template <typename F>
std::string misuse_of(F&& action) {
  try {
    action();
  } catch (const Misuse& misuse) {
    return misuse.what();
  }
  return "";
}

constexpr const char* kTwice = "wait_for_all was given the end of fiber \"answer\" twice, which can be taken only once: name it once";

// --- refusals ------------------------------------------------------------------------------------------------------------------------

TEST(WaitForAllRefusesTest, AFiberTwiceBeforeItTakesAnything) {
  Event<int> event;
  Event<> gate;
  event.signal(1);
  auto answer = spawn("answer", [&] {
    gate.wait();
    return 42;
  });
  bool other_ran = false;
  auto other = spawn("other", [&] { other_ran = true; });
  EXPECT_EQ(misuse_of([&] { wait_for_all(std::tie(event, answer, answer)); }), kTwice);
  EXPECT_FALSE(other_ran);  // at once
  EXPECT_TRUE(event);
  gate.signal();
  EXPECT_EQ(answer.join(), 42);
}

TEST(WaitForAllRefusesTest, AFiberThatHasEndedTwice) {
  auto answer = spawn("answer", [] { return 42; });
  yield();
  yield();
  EXPECT_EQ(misuse_of([&] { wait_for_all(std::tie(answer, answer)); }), kTwice);
  EXPECT_EQ(answer.join(), 42);
}

TEST(WaitForAllRefusesTest, OneOfManyTwice) {
  std::vector<Fiber<int>> fibers;
  for (int i = 0; i < 100; ++i) fibers.push_back(spawn(i == 37 ? "answer" : "other", [i] { return i; }));
  std::vector<std::reference_wrapper<Fiber<int>>> all(fibers.begin(), fibers.end());
  all.push_back(fibers[37]);
  EXPECT_EQ(misuse_of([&] { wait_for_all(all); }), kTwice);
  all.pop_back();
  EXPECT_THAT(wait_for_all(all), SizeIs(100));
}

// wait_for_any takes from one only.
TEST(WaitForAllRefusesTest, ButWaitAnyDoesNot) {
  auto answer = spawn("answer", [] { return 42; });
  EXPECT_EQ(std::get<0>(wait_for_any(std::tie(answer, answer))), 42);
}

TEST(WaitForAllRefusesTest, AnotherThreadsSourceBeforeItTakesAnything) {
  EventQueue<int> theirs;
  Event<int> their_event;
  auto other = Thread::run("other", [&](Signal) {
    Event<int> ours;
    std::optional<int> got;
    auto waiter = spawn("waiter", [&] { got = ours.wait(); });
    yield();
    std::vector<std::string> said;
    EventQueue<int> queue;
    queue.signal(1);
    said.push_back(misuse_of([&] { wait_for_all(std::tie(queue, theirs)); }));
    said.push_back(misuse_of([&] { wait_for_all(std::tie(queue, their_event)); }));
    EXPECT_EQ(queue.size(), 1u);
    ours.signal(2);
    waiter.join();
    EXPECT_EQ(got, 2);
    return said;
  });
  EXPECT_THAT(other.join(), ElementsAre(HasSubstr("an EventQueue was used on another thread"),
                                        HasSubstr("an Event was used on another thread")));
}

TEST(WaitForAllRefusesTest, AHandleThatOwnsNothingBeforeItTakesAnything) {
  Event<int> event;
  event.signal(1);
  Fiber<int> nobody;
  EXPECT_THAT(misuse_of([&] { wait_for_all(std::tie(event, nobody)); }), HasSubstr("owns no fiber"));
  EXPECT_TRUE(event);
}

// --- giving back ---------------------------------------------------------------------------------------------------------------------

// The values had room when they came: they are not lost, and nobody who signals is let in before there is room.
TEST(WaitForAllGivesBackTest, IntoAQueueThatIsFullByNow) {
  constexpr int kMax = 2;
  EventQueue<int> queue(kMax);
  Event<> never;
  queue.signal(1);
  queue.signal(2);
  auto all = spawn("all", [&] { wait_for_all(std::tie(queue, queue, never)); });
  yield();
  EXPECT_TRUE(queue.signal(3));
  EXPECT_TRUE(queue.signal(4));
  EXPECT_FALSE(queue.signal(5));
  EXPECT_THROW(all.cancel().join(), WasCancelled);
  EXPECT_EQ(queue.size(), 4u);
  for (int value : {1, 2}) {
    EXPECT_FALSE(queue.signal(5));
    EXPECT_EQ(queue.wait(), value);
  }
  EXPECT_FALSE(queue.signal(5));  // as many as it may have, again
  EXPECT_EQ(queue.wait(), 3);
  EXPECT_TRUE(queue.signal(5));
  EXPECT_EQ(queue.wait(), 4);
  EXPECT_EQ(queue.wait(), 5);
}

// One that is handed from fiber to fiber, for want of any room.
TEST(WaitForAllGivesBackTest, IntoAQueueThatHasNoRoomAtAll) {
  EventQueue<int> queue(0);
  Event<> never;
  auto all = spawn("all", [&] { wait_for_all(std::tie(queue, never)); });
  yield();
  EXPECT_TRUE(queue.signal(1));
  yield();
  EXPECT_THROW(all.cancel().join(), WasCancelled);
  EXPECT_FALSE(queue.signal(2));
  EXPECT_EQ(queue.wait(), 1);
}

TEST(WaitForAllGivesBackTest, IntoAQueueThatWasClosedMeanwhile) {
  EventQueue<int> queue;
  Event<> never;
  queue.signal(1);
  auto all = spawn("all", [&] { wait_for_all(std::tie(queue, never)); });
  yield();
  queue.close();
  EXPECT_THROW(all.cancel().join(), WasCancelled);
  EXPECT_EQ(queue.wait(), 1);
  EXPECT_THROW(queue.wait(), Closed);
}

// Throws from the move that it is told to fail in.
class Brittle {
 public:
  explicit Brittle(int value, int* moves_left = nullptr) : value_(value), moves_left_(moves_left) {}
  Brittle(Brittle&& other) : value_(other.value_), moves_left_(other.moves_left_) {
    if (moves_left_ != nullptr && (*moves_left_)-- == 0) throw std::runtime_error("broken in transit");
  }
  Brittle& operator=(Brittle&& other) {
    value_ = other.value_;
    moves_left_ = other.moves_left_;
    return *this;
  }
  int value() const { return value_; }

 private:
  int value_;
  int* moves_left_;
};

TEST(WaitForAllGivesBackTest, TheRestWhenOneCannotBeMoved) {
  LogLines log;
  int moves_left = 1'000;
  EventQueue<int> sturdy;
  EventQueue<Brittle> brittle;
  Event<> never;
  sturdy.signal(1);
  brittle.signal(Brittle(2, &moves_left));
  auto all = spawn("all", [&] { wait_for_all(std::tie(sturdy, brittle, never)); });
  yield();
  EXPECT_EQ(brittle.size(), 0u);
  moves_left = 0;
  EXPECT_THROW(all.cancel().join(), WasCancelled);
  EXPECT_THAT(log.with("what wait_for_all had taken of event queue could not be given back: broken in transit"), SizeIs(1));
  EXPECT_EQ(sturdy.wait(), 1);
}

}  // namespace
}  // namespace cooperative
