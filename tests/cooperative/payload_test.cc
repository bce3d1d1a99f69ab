#include <gtest/gtest.h>

#include <functional>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "cooperative/blocking_pool.h"
#include "cooperative/callback_queue.h"
#include "cooperative/event.h"
#include "cooperative/event_queue.h"
#include "cooperative/fiber.h"
#include "cooperative/in_parallel.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "cooperative/threaded_event_queue.h"
#include "cooperative/wait_for.h"
#include "cooperative/with_timeout.h"
#include "mothreads/thread.h"
#include "tests/support/host.h"
#include "tests/support/payloads.h"

// Each template with values of each type.

namespace cooperative::inline v0 {
namespace {

using mothreads::testing::Payload;

template <typename T>
class PayloadTest : public ::testing::Test {};
TYPED_TEST_SUITE(PayloadTest, mothreads::testing::Payloads);

template <typename Queue, typename T>
void go_through_a_queue() {
  using P = Payload<T>;
  Queue queue;
  for (int i = 0; i < 40; ++i) EXPECT_TRUE(static_cast<bool>(queue.signal(P::make())));  // its memory grows
  EXPECT_TRUE(P::is_it(queue.wait()));
  EXPECT_TRUE(P::is_it(*queue.next()));
  EXPECT_TRUE(P::is_it(std::get<0>(wait_for_any(std::tie(queue)))));
  EXPECT_TRUE(P::is_it(std::get<0>(wait_for_all(std::tie(queue)))));
  std::vector<std::reference_wrapper<Queue>> queues{queue, queue};
  EXPECT_TRUE(P::is_it(wait_for_all(queues).at(1)));
  EXPECT_TRUE(P::is_it(wait_for_any(queues).value));
  Queue empty;
  EXPECT_THROW(wait_for_all(std::tie(queue, empty), absl::ZeroDuration()), Timedout);  // gives it back
  EXPECT_EQ(queue.size(), 33U);
  auto waiter = spawn("waiter", [&]() -> T { return empty.wait(); });
  auto waiter_of_any = spawn("waiter of any", [&]() -> T { return std::get<0>(wait_for_any(std::tie(empty))); });
  yield();
  queue.close();
  int looped = 0;
  for (T& value : queue) looped += P::is_it(value) ? 1 : 100;
  EXPECT_EQ(looped, 33);
  empty.signal(P::make());
  empty.signal(P::make());
  EXPECT_TRUE(P::is_it(waiter.join()));
  EXPECT_TRUE(P::is_it(waiter_of_any.join()));
}

TYPED_TEST(PayloadTest, GoesThroughAnEventQueue) { go_through_a_queue<EventQueue<TypeParam>, TypeParam>(); }

TYPED_TEST(PayloadTest, GoesThroughAThreadedEventQueue) { go_through_a_queue<ThreadedEventQueue<TypeParam>, TypeParam>(); }

TYPED_TEST(PayloadTest, GoesThroughAnEvent) {
  using P = Payload<TypeParam>;
  Event<TypeParam> event;
  event.signal(P::make());
  EXPECT_TRUE(P::is_it(event.wait()));
  auto waiter = spawn("waiter", [&]() -> TypeParam { return event.wait(); });
  yield();
  event.signal(P::make());
  EXPECT_TRUE(P::is_it(waiter.join()));
  event.signal(P::make());
  EXPECT_TRUE(P::is_it(std::get<0>(wait_for_any(std::tie(event)))));
  event.signal(P::make());
  Event<> never;
  EXPECT_THROW(wait_for_all(std::tie(event, never), absl::ZeroDuration()), Timedout);
  EXPECT_TRUE(P::is_it(std::get<0>(wait_for_all(std::tie(event)))));
  event.signal_exception(std::make_exception_ptr(1));
  EXPECT_THROW(static_cast<void>(event.wait()), int);
  if constexpr (std::is_copy_constructible_v<TypeParam>) {
    Event<TypeParam> stays(Reset::manual);
    auto one = spawn("one", [&]() -> TypeParam { return stays.wait(); });
    yield();
    stays.signal(P::make());
    EXPECT_TRUE(P::is_it(stays.wait()));
    EXPECT_TRUE(P::is_it(one.join()));
  }
}

TYPED_TEST(PayloadTest, IsTheResultOfFibersAndOfThreads) {
  using P = Payload<TypeParam>;
  auto fiber = spawn("fiber", [] { return P::make(); });
  EXPECT_TRUE(P::is_it(fiber.join()));
  auto with_argument = spawn("argument", [](TypeParam value) { return value; }, P::make());
  EXPECT_TRUE(P::is_it(with_argument.join()));
  auto any = spawn("any", [] { return P::make(); });
  EXPECT_TRUE(P::is_it(std::get<0>(wait_for_any(std::tie(any)))));
  auto thread = mothreads::Thread::run("thread", [](mothreads::Signal) { return P::make(); });
  EXPECT_TRUE(P::is_it(thread.join()));
  auto [first, second] = in_parallel([] { return P::make(); }, [] { return P::make(); });
  EXPECT_TRUE(P::is_it(first) && P::is_it(second));
  EXPECT_TRUE(P::is_it(with_timeout(absl::Hours(1), [] { return P::make(); })));
}

TYPED_TEST(PayloadTest, IsTheResultOfCalls) {
  using P = Payload<TypeParam>;
  testing::Host host;
  EXPECT_TRUE(P::is_it(host.scheduler().callback_result([] { return P::make(); })));
  EXPECT_TRUE(P::is_it(host.scheduler().callback_result([] { return P::make(); }, RunIn::callbacks)));
  {
    CallbackQueue queue(host.scheduler());
    EXPECT_TRUE(P::is_it(queue.callback_result([] { return P::make(); })));
  }
  BlockingPool pool("pool", {.threads = 1});
  EXPECT_TRUE(P::is_it(pool.call([] { return P::make(); })));
  host.end();
}

}  // namespace
}  // namespace cooperative
