#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "mothreads/queue.h"
#include "mothreads/thread.h"
#include "tests/support/payloads.h"
#include "tests/support/sleeping.h"

namespace mothreads::inline v0 {
namespace {

using testing::await_sleeping;
using testing::Payload;

template <typename T>
class QueuePayloadTest : public ::testing::Test {};
TYPED_TEST_SUITE(QueuePayloadTest, testing::Payloads);

TYPED_TEST(QueuePayloadTest, GoesInAndOutEveryWay) {
  using P = Payload<TypeParam>;
  Queue<TypeParam> queue("q", {.max = 100});
  queue.add(P::make());
  EXPECT_EQ(queue.add(P::make(), absl::ZeroDuration()).why(), Why::ready);
  queue.push(P::make());
  EXPECT_EQ(queue.push(P::make(), absl::ZeroDuration()).why(), Why::ready);
  queue.force_add(P::make());
  std::vector<TypeParam> more;
  for (int i = 0; i < 40; ++i) more.push_back(P::make());  // the ring grows
  queue.push_all(std::move(more));
  more.clear();
  more.push_back(P::make());
  queue.extend(std::move(more));
  for (int i = 0; i < 20; ++i) {
    auto popped = queue.pop();
    ASSERT_TRUE(static_cast<bool>(popped));
    EXPECT_EQ(popped.why(), Why::ready);
    EXPECT_TRUE(P::is_it(*popped));
    EXPECT_TRUE(P::is_it(*popped.operator->()));
  }
  EXPECT_TRUE(P::is_it(*queue.pop_one()));
  EXPECT_EQ(queue.pop_all().size(), 25U);
  EXPECT_EQ(queue.pop_one().why(), Why::timed_out);
  queue.add(P::make());
  queue.close();
  int looped = 0;
  for (TypeParam& value : queue) looped += P::is_it(value) ? 1 : 100;
  EXPECT_EQ(looped, 1);
  EXPECT_EQ(queue.pop().why(), Why::closed);
}

TYPED_TEST(QueuePayloadTest, IsHandedOverAndIsTheResultOfAThread) {
  using P = Payload<TypeParam>;
  Queue<TypeParam> queue("q", {.max = 1, .silent = true});
  auto consumer = Thread::run("consumer", [&](Signal) -> TypeParam { return *queue.pop(); });
  await_sleeping(consumer.thread(), "pops from queue");
  queue.add(P::make());
  EXPECT_TRUE(P::is_it(consumer.join()));
  queue.add(P::make());
  auto producer = Thread::run("producer", [&](Signal) { queue.add(P::make()); });
  await_sleeping(producer.thread(), "waits for room");
  EXPECT_TRUE(P::is_it(*queue.pop()));
  producer.join();
  EXPECT_TRUE(P::is_it(*queue.pop()));
}

}  // namespace
}  // namespace mothreads
