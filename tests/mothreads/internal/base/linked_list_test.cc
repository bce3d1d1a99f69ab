#include "mothreads/internal/base/linked_list.h"

#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mothreads::inline v0::internal {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Item {
  int number;
  Item* previous = nullptr;
  Item* next = nullptr;
  Item* older = nullptr;
  Item* newer = nullptr;
};
using List = LinkedList<Item, &Item::previous, &Item::next>;
using Ages = LinkedList<Item, &Item::newer, &Item::older>;

template <typename L>
std::vector<int> numbers(const L& list) {
  std::vector<int> found;
  for (const Item* item = list.first(); item != nullptr; item = list.after(*item)) found.push_back(item->number);
  return found;
}

class LinkedListTest : public ::testing::Test {
 protected:
  List list_;
  Item one_{1};
  Item two_{2};
  Item three_{3};
};

TEST_F(LinkedListTest, KeepsTheOrder) {
  EXPECT_TRUE(list_.is_empty());
  EXPECT_EQ(list_.first(), nullptr);
  EXPECT_EQ(list_.last(), nullptr);
  list_.push_back(two_);
  EXPECT_EQ(list_.first(), list_.last());
  list_.push_back(three_);
  list_.push_front(one_);
  EXPECT_THAT(numbers(list_), ElementsAre(1, 2, 3));
  EXPECT_EQ(list_.last(), &three_);
}

TEST_F(LinkedListTest, TakesOutAnyAndSaysWhetherItWasTheOnlyOne) {
  for (Item* item : {&one_, &two_, &three_}) list_.push_back(*item);
  EXPECT_FALSE(list_.take_out(two_));
  EXPECT_FALSE(List::is_linked(two_));
  EXPECT_THAT(numbers(list_), ElementsAre(1, 3));
  EXPECT_FALSE(list_.take_out(one_));
  EXPECT_THAT(numbers(list_), ElementsAre(3));
  list_.push_back(one_);
  EXPECT_FALSE(list_.take_out(one_));
  EXPECT_TRUE(List::is_linked(three_));
  EXPECT_TRUE(list_.take_out(three_));
  EXPECT_TRUE(list_.is_empty());
  EXPECT_THAT(numbers(list_), IsEmpty());
}

TEST_F(LinkedListTest, TakesTheFirst) {
  EXPECT_EQ(list_.take_first(), nullptr);
  for (Item* item : {&one_, &two_}) list_.push_back(*item);
  EXPECT_EQ(list_.take_first(), &one_);
  EXPECT_EQ(list_.take_first(), &two_);
  EXPECT_EQ(list_.take_first(), nullptr);
}

TEST_F(LinkedListTest, AnItemIsInSeveralLists) {
  Ages ages;
  for (Item* item : {&one_, &two_, &three_}) {
    list_.push_back(*item);
    ages.push_front(*item);
  }
  EXPECT_THAT(numbers(ages), ElementsAre(3, 2, 1));
  list_.take_out(two_);
  EXPECT_THAT(numbers(list_), ElementsAre(1, 3));
  EXPECT_THAT(numbers(ages), ElementsAre(3, 2, 1));
  EXPECT_TRUE(Ages::is_linked(two_));
}

TEST_F(LinkedListTest, GivesAllAsAChain) {
  EXPECT_EQ(list_.take_all(), nullptr);
  for (Item* item : {&one_, &two_, &three_}) list_.push_back(*item);
  std::vector<int> chain;
  for (const Item* item = list_.take_all(); item != nullptr; item = item->next) chain.push_back(item->number);
  EXPECT_THAT(chain, ElementsAre(1, 2, 3));
  EXPECT_TRUE(list_.is_empty());
}

}  // namespace
}  // namespace mothreads::internal
