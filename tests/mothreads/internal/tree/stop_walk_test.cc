// Stops of trees without threads: how many steps they take, and in which order.

#include "mothreads/internal/tree/stop_walk.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "mothreads/internal/tree/node.h"
#include "mothreads/signal.h"
#include "mothreads/stopping.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "tests/support/nothing_left.h"

namespace mothreads::inline v0::internal {
namespace {

using ::testing::ElementsAre;

constexpr std::size_t kDeep = 100'000;

class PlainNode final : public Node {
 public:
  using Node::Node;
  MemberKind kind() const override { return MemberKind::thread; }
};

// Each below the one before it.
class Chain {
 public:
  Chain(std::size_t depth, Clock& clock) {
    for (std::size_t i = 0; i < depth; ++i) {
      nodes_.push_back(Ref<PlainNode>::adopt(new PlainNode("node", Signal("stop"), clock)));
      if (i > 0) nodes_.back()->attach_to(*nodes_[i - 1]);
    }
  }
  ~Chain() {
    for (auto node = nodes_.rbegin(); node != nodes_.rend(); ++node) {
      (*node)->mark_stopped();
      (*node)->detach();
    }
  }
  Chain(const Chain&) = delete;
  Chain& operator=(const Chain&) = delete;

  PlainNode& operator[](std::size_t i) { return *nodes_[i]; }
  PlainNode& last() { return *nodes_.back(); }
  std::size_t size() const { return nodes_.size(); }

 private:
  std::vector<Ref<PlainNode>> nodes_;
};

class StopWalkTest : public testing::NothingLeft {
 protected:
  void TearDown() override {
    set_stop_deadline(kDefaultStopDeadline);
    NothingLeft::TearDown();
  }

  // How many steps `f` takes.
  static std::uint64_t steps_of(const std::function<void()>& f) {
    const std::uint64_t before = StopWalk::steps();
    f();
    return StopWalk::steps() - before;
  }

  testing::VirtualClock clock;
};

TEST_F(StopWalkTest, ADeepTreeNeedsNoDeepStack) {
  Chain chain(kDeep, clock);
  const auto on_a_small_stack = [](const std::function<void()>& f) {
    Thread::run(ThreadOptions{.name = "small", .stack_size = kLeastThreadStack}, [&](Signal) { f(); }).join();
  };
  on_a_small_stack([&] {
    EXPECT_EQ(steps_of([&] { chain[0].request_stop(); }), kDeep);
    EXPECT_FALSE(chain[0].may_unwind());
  });
  EXPECT_TRUE(chain[0].please_stop());
  EXPECT_TRUE(chain.last().please_stop());
}

// Each that ended told all below it once more: 500 to 4000 levels took 0.13 to 5.1 s.
TEST_F(StopWalkTest, WhoEndsAfterAStopTellsNobodyTwice) {
  Chain chain(kDeep, clock);
  chain[0].request_stop();
  const std::uint64_t steps = steps_of([&] {
    for (std::size_t i = 0; i < chain.size(); ++i) StopWalk().tell_those_below(chain[i]);
  });
  EXPECT_LE(steps, kDeep);
}

TEST_F(StopWalkTest, WhoEndWithoutAStopTellEachNodeOnce) {
  for (const bool from_below : {true, false}) {
    Chain chain(kDeep, clock);
    const std::uint64_t steps = steps_of([&] {
      for (std::size_t i = 0; i < chain.size(); ++i) StopWalk().tell_those_below(chain[from_below ? chain.size() - 1 - i : i]);
    });
    EXPECT_LE(steps, 2 * kDeep);
    EXPECT_FALSE(chain[0].please_stop());
    EXPECT_TRUE(chain[1].please_stop());
    EXPECT_TRUE(chain.last().please_stop());
  }
}

TEST_F(StopWalkTest, WhetherSomebodyIsBelowNeedsNoClimbToTheRoot) {
  Chain chain(kDeep, clock);
  for (std::size_t i = 1; i < chain.size(); ++i) EXPECT_FALSE(chain[i - 1].is_below(chain[i]));  // quadratic, it would take minutes
  EXPECT_TRUE(chain.last().is_below(chain[0]));
  EXPECT_TRUE(chain[7].is_below(chain[7]));
  const Chain other(3, clock);
  EXPECT_FALSE(chain[2].is_below(const_cast<Chain&>(other)[1]));
}

TEST_F(StopWalkTest, AnEarlierDeadlineComesDownToThoseWhoHaveBeenTold) {
  Chain chain(4, clock);
  const Instant start = clock.now();
  chain[2].request_stop();
  EXPECT_EQ(chain[3].deadline(), start + absl::ToChronoNanoseconds(kDefaultStopDeadline));
  set_stop_deadline(absl::Seconds(10));
  chain[0].request_stop();
  for (std::size_t i = 0; i < chain.size(); ++i) EXPECT_EQ(chain[i].deadline(), start + absl::ToChronoNanoseconds(absl::Seconds(10)));
}

TEST_F(StopWalkTest, ALaterDeadlineChangesNothing) {
  Chain chain(3, clock);
  const Instant start = clock.now();
  chain[1].request_stop();
  clock.advance(absl::Seconds(10));
  chain[0].request_stop();
  EXPECT_EQ(chain[0].deadline(), start + absl::ToChronoNanoseconds(absl::Seconds(10) + kDefaultStopDeadline));
  EXPECT_EQ(chain[2].deadline(), start + absl::ToChronoNanoseconds(kDefaultStopDeadline));
}

TEST_F(StopWalkTest, AStopInTheMidstOfAnotherTellsAllThatItIsFor) {
  Chain chain(4, clock);
  std::vector<std::string> told;
  for (std::size_t i = 0; i < chain.size(); ++i) {
    chain[i].please_stop().then([&told, i] { told.push_back(std::to_string(i)); });
  }
  chain[2].please_stop().then([&] {
    EXPECT_FALSE(chain[1].please_stop());
    chain[1].request_stop();
    EXPECT_TRUE(chain[1].please_stop());
    EXPECT_FALSE(chain[0].please_stop());
  });
  chain[0].request_stop();
  EXPECT_THAT(told, ElementsAre("3", "2", "1", "0"));
}

TEST_F(StopWalkTest, WhoseContextsCameLateIsToldAgainByAnyAboveIt) {
  Chain chain(10, clock);
  chain[0].request_stop();
  EXPECT_EQ(steps_of([&] { chain[0].request_stop(); }), 1U);
  chain[6].note_untold();
  EXPECT_EQ(steps_of([&] { chain[7].request_stop(); }), 1U);
  EXPECT_EQ(steps_of([&] { chain[3].request_stop(); }), 5U);  // 3 to 6, and a look at 7
  EXPECT_EQ(steps_of([&] { chain[0].request_stop(); }), 4U);  // 0 to 2, and a look at 3
  EXPECT_EQ(steps_of([&] { chain[0].request_stop(); }), 1U);
}

TEST_F(StopWalkTest, TheFirstToBeToldCountsWhoHasStopped) {
  Chain chain(5, clock);
  chain[0].request_stop();
  chain[1].request_stop();
  EXPECT_EQ(chain[0].progress().told, 5U);
  EXPECT_EQ(chain[0].progress().stopped, 0U);
  chain[4].mark_stopped();
  chain[3].mark_stopped();
  EXPECT_EQ(chain[0].progress().told, 5U);
  EXPECT_EQ(chain[0].progress().stopped, 2U);
  EXPECT_EQ(chain[1].progress().told, 0U);
}

}  // namespace
}  // namespace mothreads::internal
