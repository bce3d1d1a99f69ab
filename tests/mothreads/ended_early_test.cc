#include "mothreads/ended_early.h"

#include <gtest/gtest.h>

#include <exception>
#include <string>
#include <type_traits>

#include "mothreads/misuse.h"
#include "mothreads/queue.h"
#include "mothreads/thread.h"

namespace mothreads::inline v0 {
namespace {

template <typename Early>
void expect_thrown(Why why) {
  try {
    throw_ended_early(why, "the kettle", "the kettle did not boil");
    FAIL() << "nothing was thrown";
  } catch (const Early& early) {
    EXPECT_EQ(early.why(), why);
    EXPECT_EQ(early.object(), "the kettle");
    EXPECT_STREQ(early.what(), "the kettle did not boil");
  }
}

TEST(EndedEarlyTest, EachReasonHasItsException) {
  expect_thrown<Timedout>(Why::timed_out);
  expect_thrown<Stopped>(Why::stopped);
  expect_thrown<Closed>(Why::closed);
  for (const Why why : {Why::timed_out, Why::stopped, Why::closed}) EXPECT_THROW(throw_ended_early(why, "", ""), EndedEarly);
}

TEST(EndedEarlyTest, AWaitThatGaveItsValueIsNoError) { EXPECT_THROW(throw_ended_early(Why::ready, "the kettle", ""), Misuse); }

// A loop that tries again after a Timedout must end at a stop.
TEST(EndedEarlyTest, NoReasonIsTakenForAnother) {
  static_assert(!std::is_base_of_v<Timedout, Stopped> && !std::is_base_of_v<Stopped, Timedout>);
  static_assert(!std::is_base_of_v<Timedout, Closed> && !std::is_base_of_v<Closed, Timedout>);
  static_assert(!std::is_base_of_v<Stopped, Closed> && !std::is_base_of_v<Closed, Stopped>);
}

TEST(EndedEarlyTest, TheOriginalsNamesAreOfTheFamily) {
  static_assert(std::is_same_v<ThreadTimeout, Timedout>);
  static_assert(std::is_same_v<QueueClosed, Closed>);
}

// An exception is copied while another may be under way.
TEST(EndedEarlyTest, CopiesThrowNothingAndShareTheName) {
  static_assert(std::is_nothrow_copy_constructible_v<Timedout> && std::is_nothrow_copy_assignable_v<Timedout>);
  const Timedout first("kettle", "late");
  const Timedout second = first;
  EXPECT_EQ(&first.object(), &second.object());
}

TEST(EndedEarlyTest, VerbsNameWhatWasWaitedFor) {
  Queue<int> queue("orders");
  queue.close();
  try {
    queue.add(1);
    FAIL() << "add() did not throw";
  } catch (const EndedEarly& early) {
    EXPECT_EQ(early.why(), Why::closed);
    EXPECT_EQ(early.object(), "orders");
  }
  auto thread = Thread::run("slow", [](Signal please_stop) { please_stop.wait(); });
  try {
    thread.join(absl::ZeroDuration());
    FAIL() << "join() did not throw";
  } catch (const EndedEarly& early) {
    EXPECT_EQ(early.why(), Why::timed_out);
    EXPECT_EQ(early.object(), "slow");
  }
}

}  // namespace
}  // namespace mothreads
