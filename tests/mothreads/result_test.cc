#include "mothreads/result.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <concepts>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "mothreads/ended_early.h"
#include "mothreads/misuse.h"
#include "mothreads/queue.h"
#include "tests/support/allocations.h"
#include "tests/support/payloads.h"

namespace mothreads::inline v0 {
namespace {

using testing::allocations_here;
using testing::live_allocations;
using testing::Payload;
using ::testing::HasSubstr;

constexpr const char* kLongName = "a name that does not fit into the result itself";

// --- values of every kind --------------------------------------------------------------------------------------------------------

template <typename T>
class ResultPayloadTest : public ::testing::Test {};
TYPED_TEST_SUITE(ResultPayloadTest, testing::Payloads);

TYPED_TEST(ResultPayloadTest, HoldsMovesAndGivesAValue) {
  using P = Payload<TypeParam>;
  Result<TypeParam> result(std::in_place, P::make());
  EXPECT_TRUE(static_cast<bool>(result));
  EXPECT_EQ(result.why(), Why::ready);
  EXPECT_TRUE(P::is_it(*result));
  EXPECT_TRUE(P::is_it(*result.operator->()));
  EXPECT_TRUE(P::is_it(std::as_const(result).value()));
  Result<TypeParam> moved = std::move(result);
  result = std::move(moved);
  EXPECT_TRUE(P::is_it(result.value()));
  EXPECT_TRUE(P::is_it(std::move(result).value()));
}

TYPED_TEST(ResultPayloadTest, ChangesBetweenAValueAndAReason) {
  using P = Payload<TypeParam>;
  Result<TypeParam> result = Why::timed_out;
  EXPECT_FALSE(static_cast<bool>(result));
  EXPECT_EQ(result.why(), Why::timed_out);
  result.emplace(P::make());
  EXPECT_TRUE(P::is_it(*result));
  result.emplace(P::make());
  EXPECT_TRUE(P::is_it(*result));
  result = Result<TypeParam>(Why::stopped, "the kettle");
  EXPECT_EQ(result.why(), Why::stopped);
  result = Result<TypeParam>(std::in_place, P::make());
  EXPECT_TRUE(P::is_it(*result));
  result = Result<TypeParam>(Why::closed, kLongName);
  const Result<TypeParam> moved = std::move(result);
  EXPECT_EQ(moved.why(), Why::closed);
}

TYPED_TEST(ResultPayloadTest, IsCopiedAsItsValueIs) {
  static_assert(std::is_copy_constructible_v<Result<TypeParam>> == std::is_copy_constructible_v<TypeParam>);
  static_assert(std::is_nothrow_move_constructible_v<Result<TypeParam>> && std::is_nothrow_move_assignable_v<Result<TypeParam>>);
  if constexpr (std::is_copy_constructible_v<TypeParam>) {
    using P = Payload<TypeParam>;
    const Result<TypeParam> result(std::in_place, P::make());
    Result<TypeParam> copy = result;
    EXPECT_TRUE(P::is_it(*copy) && P::is_it(*result));
    copy = Result<TypeParam>(Why::closed, kLongName);
    const Result<TypeParam> none = copy;
    EXPECT_EQ(none.why(), Why::closed);
    copy = result;
    EXPECT_TRUE(P::is_it(*copy));
  }
}

TEST(ResultTest, AValueOfOurEnumsIsNotTakenForAReason) {
  EXPECT_TRUE(Result<Why>(std::in_place, Why::closed));
  EXPECT_EQ(*Result<Why>(std::in_place, Why::closed), Why::closed);
  EXPECT_EQ(Result<Why>(Why::closed).why(), Why::closed);
  EXPECT_FALSE(Result<Ended>(Why::timed_out));
}

Result<std::string> answer(bool known) {
  if (!known) return Why::timed_out;
  return std::string("42");
}

TEST(ResultTest, AFunctionReturnsTheValueOrTheReason) {
  EXPECT_EQ(answer(true), "42");
  EXPECT_FALSE(answer(false) == "42");
  EXPECT_EQ(answer(false).why(), Why::timed_out);
}

template <typename Result, typename Value>
constexpr bool kIsComparable = requires(const Result& result, const Value& value) { result == value; };

TEST(ResultTest, IsNoBoolOrNumberBySurprise) {
  static_assert(!std::convertible_to<Result<int>, bool> && !std::convertible_to<Result<int>, int>);
  static_assert(kIsComparable<Result<int>, int> && !kIsComparable<Result<Why>, Why>, "a value, or the reason?");
}

// --- no value --------------------------------------------------------------------------------------------------------------------

template <typename Early>
void expect_thrown(Why why, const char* object, const char* sentence) {
  try {
    static_cast<void>(Result<int>(why, object).value());
    FAIL() << "nothing was thrown";
  } catch (const Early& early) {
    EXPECT_EQ(early.why(), why);
    EXPECT_EQ(early.object(), object);
    EXPECT_STREQ(early.what(), sentence);
  }
}

TEST(ResultTest, ValueThrowsWhatBelongsToTheReasonAndNamesTheObject) {
  expect_thrown<Timedout>(Why::timed_out, "the kettle", "nothing came from \"the kettle\" within the limit");
  expect_thrown<Stopped>(Why::stopped, "the kettle", "nothing came from \"the kettle\" before the Signal of the limit went");
  expect_thrown<Closed>(Why::closed, "the kettle", "nothing more comes from \"the kettle\": it is closed, or has ended");
  expect_thrown<Closed>(Why::closed, kLongName,
                        "nothing more comes from \"a name that does not fit into the result itself\": it is closed, or has ended");
  Result<int> none = Why::timed_out;
  EXPECT_THROW(static_cast<void>(none.value()), Timedout);
  EXPECT_THROW(static_cast<void>(std::as_const(none).value()), Timedout);
}

TEST(ResultTest, LookingForAValueThatIsNotThereIsMisuse) {
  Result<std::string> none(Why::closed, "the kettle");
  const Result<std::string>& constant = none;
  EXPECT_THROW(static_cast<void>(*none), Misuse);
  EXPECT_THROW(static_cast<void>(*constant), Misuse);
  EXPECT_THROW(static_cast<void>(*std::move(none)), Misuse);
  EXPECT_THROW(static_cast<void>(none->size()), Misuse);  // NOLINT(bugprone-use-after-move)
  EXPECT_THROW(static_cast<void>(constant->size()), Misuse);
  try {
    static_cast<void>(*none);
  } catch (const Misuse& misuse) {
    EXPECT_THAT(misuse.what(), HasSubstr("a Result of \"the kettle\" has no value (closed): test it before"));
  }
}

TEST(ResultTest, ReadyWithoutAValueIsMisuse) { EXPECT_THROW(static_cast<void>(Result<int>{Why::ready}), Misuse); }

struct ThrowsWhenMoved {
  ThrowsWhenMoved() = default;
  ThrowsWhenMoved(ThrowsWhenMoved&&) { throw std::runtime_error("moved"); }
};

TEST(ResultTest, AMoveThatThrowsLeavesItClosed) {
  Result<ThrowsWhenMoved> from(std::in_place);
  Result<ThrowsWhenMoved> into(std::in_place);
  EXPECT_THROW(into = std::move(from), std::runtime_error);
  EXPECT_EQ(into.why(), Why::closed);
  EXPECT_TRUE(from);  // NOLINT(bugprone-use-after-move): as its type left it
  EXPECT_THROW(into.emplace(ThrowsWhenMoved()), std::runtime_error);
  EXPECT_EQ(into.why(), Why::closed);
}

// --- memory ----------------------------------------------------------------------------------------------------------------------

TEST(ResultTest, WhatAQueueGivesAllocatesNothingAlsoWithoutAValue) {
  for (const char* name : {"short", kLongName}) {
    Queue<int> queue(name);
    queue.add(1);
    const auto before = allocations_here();
    EXPECT_EQ(*queue.pop(), 1);
    Result<int> none = queue.pop_one();
    Result<int> copy = none;
    none = std::move(copy);
    EXPECT_EQ(none.why(), Why::timed_out);
    EXPECT_EQ(allocations_here(), before);
  }
}

TEST(ResultTest, OutlivesWhatGaveItAndForgetsItsNameWithTheLast) {
  const auto live = live_allocations();
  {
    std::optional<Queue<int>> queue(std::in_place, kLongName);
    queue->close();
    const Result<int> first = queue->pop();
    const Result<int> second = first;
    queue.reset();
    try {
      static_cast<void>(second.value());
      FAIL() << "nothing was thrown";
    } catch (const Closed& closed) {
      EXPECT_EQ(closed.object(), kLongName);
    }
  }
  EXPECT_EQ(live_allocations(), live);
}

TEST(ResultTest, IsSmall) {
  static_assert(sizeof(Result<int>) <= 24 && sizeof(Result<std::unique_ptr<int>>) <= 24);
  static_assert(sizeof(Result<std::string>) <= sizeof(std::string) + sizeof(void*));
}

}  // namespace
}  // namespace mothreads
