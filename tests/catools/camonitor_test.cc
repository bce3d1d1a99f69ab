#include "catools/camonitor.h"

#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "catools/caget.h"
#include "catools/caput.h"
#include "catools/connect.h"
#include "cooperative/event_queue.h"
#include "cooperative/fiber.h"
#include "cooperative/fiber_group.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "mothreads/misuse.h"
#include "mothreads/signal.h"
#include "mothreads/testing/log_lines.h"
#include "tests/catools/support/source.h"
#include "tests/catools/support/worlds.h"

namespace catools::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const absl::Duration kSoon = absl::Seconds(5);

template <typename Source>
class CamonitorTest : public ServedTest<Source> {
 protected:
  void SetUp() override { caput(this->pv("other"), 0, {.wait = true}); }

  // Each has arrived, in every older subscription first, before the next is put: the IOC merges, too, where it has no time.
  static void put_one_by_one(int last) {
    Subscription witness = camonitor(ServedTest<Source>::pv("other"));
    static_cast<void>(witness.next(kSoon).value());
    for (int i = 1; i <= last; ++i) {
      caput(ServedTest<Source>::pv("other"), i);
      EXPECT_EQ(witness.next(kSoon).value().template as<int>(), i);
    }
  }
};
TYPED_TEST_SUITE(CamonitorTest, Sources);

// As a record whose MDEL is 0, and as a waveform.
TYPED_TEST(CamonitorTest, AnEqualNumberIsNoChangeAndEachArrayIs) {
  caput(this->pv("other"), 30, {.wait = true});
  caput(this->pv("wave"), std::vector<int>{1, 2}, {.wait = true});
  Subscription number = camonitor(this->pv("other"), {.all_updates = true});
  Subscription wave = camonitor(this->pv("wave"), {.all_updates = true});
  EXPECT_EQ(number.next(kSoon).value().template as<int>(), 30);
  EXPECT_THAT(wave.next(kSoon).value().template as<std::vector<int>>(), ElementsAre(1, 2));
  for (const int value : {30, 31}) caput(this->pv("other"), value, {.wait = true});
  EXPECT_EQ(number.next(kSoon).value().template as<int>(), 31);
  for (const int value : {2, 3}) caput(this->pv("wave"), std::vector<int>{1, value}, {.wait = true});
  EXPECT_THAT(wave.next(kSoon).value().template as<std::vector<int>>(), ElementsAre(1, 2));
  EXPECT_THAT(wave.next(kSoon).value().template as<std::vector<int>>(), ElementsAre(1, 3));
}

TYPED_TEST(CamonitorTest, ASubscriptionMayOutliveTheGroupWhoseMemberMadeIt) {
  cooperative::EventQueue<int> seen;
  Subscription watch;
  {
    cooperative::FiberGroup group("makers");
    group.spawn("maker", [&] { watch = camonitor(this->pv("other"), [&](const Value& value) { seen.signal(value.as<int>()); }); });
    group.join(kSoon);
    EXPECT_EQ(group.size(), 0U);
  }
  EXPECT_EQ(seen.wait(kSoon), 0);
  caput(this->pv("other"), 1);
  EXPECT_EQ(seen.wait(kSoon), 1);
}

TYPED_TEST(CamonitorTest, TheFirstIsThePresentValueThenEachChange) {
  in_each_world([&] {
    caput(this->pv("other"), 1, {.wait = true});
    Subscription watch = camonitor(this->pv("other"));
    for (int i = 1; i < 10; ++i) {
      EXPECT_EQ(watch.next(kSoon).value().template as<int>(), i);
      caput(this->pv("other"), i + 1);
    }
  });
}

TYPED_TEST(CamonitorTest, AFunctionIsCalledOnTheThreadOfTheSubscriber) {
  cooperative::EventQueue<int> seen;
  const std::thread::id here = std::this_thread::get_id();
  const Subscription watch = camonitor(this->pv("other"), [&](const Value& value) {
    EXPECT_EQ(std::this_thread::get_id(), here);
    seen.signal(value.as<int>());
  });
  EXPECT_EQ(seen.wait(kSoon), 0);
  caput(this->pv("other"), 1);
  EXPECT_EQ(seen.wait(kSoon), 1);
}

TYPED_TEST(CamonitorTest, AFunctionMayGetPutAndWaitForOtherSubscriptions) {
  cooperative::EventQueue<double> seen;
  Subscription inner = camonitor(this->pv("merged"));
  static_cast<void>(inner.next(kSoon).value());
  const Subscription watch = camonitor(this->pv("other"), [&](const Value&) {
    caput(this->pv("merged"), 77.0, {.wait = true});
    EXPECT_EQ(inner.next(kSoon).value().template as<int>(), 77);
    caput(this->pv("merged"), 0.0, {.wait = true});
    static_cast<void>(inner.next(kSoon).value());
    seen.signal(caget<double>(this->pv("double")));
  });
  EXPECT_EQ(seen.wait(kSoon), 3.5);
}

TYPED_TEST(CamonitorTest, WhatASlowConsumerMissesIsMergedAndCounted) {
  Subscription watch = camonitor(this->pv("other"));
  EXPECT_EQ(watch.next(kSoon).value().template as<int>(), 0);
  this->put_one_by_one(50);
  const Value value = watch.next(kSoon).value();
  EXPECT_EQ(value.as<int>(), 50);
  EXPECT_EQ(value.update_count(), 50U);
  EXPECT_EQ(watch.info().updates, 51U);
  EXPECT_EQ(watch.info().dropped, 49U);
  EXPECT_EQ(watch.info().waiting, 0U);
}

TYPED_TEST(CamonitorTest, AllUpdatesLosesNone) {
  in_each_world([&] {
    caput(this->pv("other"), 0, {.wait = true});
    Subscription watch = camonitor(this->pv("other"), {.all_updates = true});
    EXPECT_EQ(watch.next(kSoon).value().template as<int>(), 0);
    this->put_one_by_one(50);
    EXPECT_EQ(watch.info().waiting, 50U);
    for (int i = 1; i <= 50; ++i) {
      const Value value = watch.next(kSoon).value();
      EXPECT_EQ(value.as<int>(), i);
      EXPECT_EQ(value.update_count(), 1U);
    }
    EXPECT_EQ(watch.info().dropped, 0U);
  });
}

TYPED_TEST(CamonitorTest, TheFormatDecidesWhichEventsCome) {
  Subscription plain = camonitor(this->pv("double"));
  Subscription control = camonitor(this->pv("double"), {.format = Format::control});
  static_cast<void>(plain.next(kSoon).value());
  EXPECT_EQ(control.next(kSoon).value().control()->units, "mA");
  caput(this->pv("double.EGU"), "A", {.wait = true});
  EXPECT_EQ(control.next(kSoon).value().control()->units, "A");
  caput(this->pv("double.EGU"), "mA", {.wait = true});
  EXPECT_EQ(control.next(kSoon).value().control()->units, "mA");
  caput(this->pv("double"), 4.5, {.wait = true});
  EXPECT_EQ(plain.next(kSoon).value().template as<double>(), 4.5);  // the first event behind the two of the property
  caput(this->pv("double"), 3.5, {.wait = true});
  Subscription asked = camonitor(this->pv("double"), {.events = Events::value | Events::property});
  static_cast<void>(asked.next(kSoon).value());
}

TYPED_TEST(CamonitorTest, TheLimitEndsANext) {
  in_each_world([&] {
    Subscription watch = camonitor(this->pv("missing"));
    EXPECT_EQ(watch.next(absl::Milliseconds(5)).why(), mothreads::Why::timed_out);
    mothreads::Signal gone;
    gone.go();
    EXPECT_EQ(watch.next(gone).why(), mothreads::Why::stopped);
  });
}

TYPED_TEST(CamonitorTest, WithoutAConnectionInTimeOneNoticeComes) {
  in_each_world([&] {
    Subscription watch = camonitor(this->pv("missing"), {.connect_limit = absl::Milliseconds(20)});
    EXPECT_EQ(watch.next(absl::ZeroDuration()).why(), mothreads::Why::timed_out);
    const Value notice = watch.next(kSoon).value();
    EXPECT_EQ(notice.code(), Code::disconnected);
    EXPECT_EQ(watch.next(absl::Milliseconds(40)).why(), mothreads::Why::timed_out);  // once; it goes on waiting
    EXPECT_FALSE(watch.is_closed());

    Subscription there = camonitor(this->pv("double"), {.connect_limit = absl::Seconds(4)});
    EXPECT_EQ(there.next(kSoon).value().template as<double>(), 3.5);
    Subscription late = camonitor(this->pv("missing"), {.connect_limit = absl::Seconds(100)});
    EXPECT_EQ(late.next(absl::Milliseconds(5)).why(), mothreads::Why::timed_out);
  });
  cooperative::EventQueue<Code> seen;
  const Subscription with_function = camonitor(this->pv("missing"), [&](const Value& value) { seen.signal(value.code()); },
                                               {.connect_limit = absl::Milliseconds(20)});
  EXPECT_EQ(seen.wait(kSoon), Code::disconnected);
}

TYPED_TEST(CamonitorTest, CloseEndsANextThatWaits) {
  in_each_world([&] {
    Subscription watch = camonitor(this->pv("missing"));
    std::thread closer([&] { watch.close(); });
    EXPECT_EQ(watch.next().why(), mothreads::Why::closed);
    closer.join();
    EXPECT_TRUE(watch.is_closed());
    watch.close();
    EXPECT_EQ(watch.next().why(), mothreads::Why::closed);
  });
}

TYPED_TEST(CamonitorTest, AfterCloseTheFunctionIsNotCalled) {
  int calls = 0;
  Subscription watch = camonitor(this->pv("other"), [&](const Value&) { ++calls; }, {.all_updates = true});
  while (calls == 0) cooperative::sleep(absl::Milliseconds(1));
  Subscription witness = camonitor(this->pv("other"));
  static_cast<void>(witness.next(kSoon).value());
  caput(this->pv("other"), 1, {.wait = true});
  watch.close();
  const int before = calls;
  caput(this->pv("other"), 2, {.wait = true});
  while (witness.next(kSoon).value().template as<int>() != 2) {
  }
  cooperative::yield();
  EXPECT_EQ(calls, before);
}

TYPED_TEST(CamonitorTest, TheDestructorWaitsForACallThatRuns) {
  bool is_inside = false;
  bool has_left = false;
  {
    const Subscription watch = camonitor(this->pv("other"), [&](const Value&) {
      is_inside = true;
      static_cast<void>(caget(this->pv("double")));
      has_left = true;
    });
    while (!is_inside) cooperative::yield();
  }
  EXPECT_TRUE(has_left);
}

TYPED_TEST(CamonitorTest, AFunctionMayDestroyItsOwnSubscription) {
  int calls = 0;
  Subscription watch;
  watch = camonitor(this->pv("other"), [&](const Value&) {
    ++calls;
    watch = Subscription();
  });
  while (calls == 0) cooperative::sleep(absl::Milliseconds(1));
  caput(this->pv("other"), 5, {.wait = true});
  static_cast<void>(caget(this->pv("double")));
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(watch.is_closed());
}

TYPED_TEST(CamonitorTest, WhatAFunctionThrowsIsLoggedAndClosesIt) {
  mothreads::testing::LogLines lines;
  const Subscription watch = camonitor(this->pv("other"), [&](const Value&) { throw std::runtime_error("cannot draw"); });
  while (!watch.is_closed()) cooperative::sleep(absl::Milliseconds(1));
  EXPECT_THAT(watch.info().last_error, HasSubstr("cannot draw"));
  EXPECT_EQ(lines.with("cannot draw").size(), 1U);
  caput(this->pv("other"), 1, {.wait = true});
}

TYPED_TEST(CamonitorTest, AListTellsWhichOfItsPlacesItIs) {
  cooperative::EventQueue<std::pair<std::size_t, std::string>> seen;
  const std::vector<Subscription> all =
      camonitor(this->pvs({"double", "string"}), [&](const Value& value, std::size_t index) { seen.signal(std::pair(index, value.name())); });
  ASSERT_EQ(all.size(), 2U);
  std::vector<std::pair<std::size_t, std::string>> both{seen.wait(kSoon), seen.wait(kSoon)};
  EXPECT_THAT(both, ::testing::UnorderedElementsAre(std::pair(0U, this->pv("double")), std::pair(1U, this->pv("string"))));
}

TYPED_TEST(CamonitorTest, SubscriptionsAreListed) {
  const auto count = [&] {
    std::size_t found = 0;
    for (const SubscriptionInfo& one : subscriptions()) found += one.name == this->pv("double") ? 1 : 0;
    return found;
  };
  EXPECT_EQ(count(), 0U);
  Subscription watch = camonitor(this->pv("double"));
  static_cast<void>(watch.next(kSoon).value());
  EXPECT_EQ(count(), 1U);
  EXPECT_EQ(watch.info().updates, 1U);
  watch.close();
  EXPECT_EQ(count(), 0U);
}

TYPED_TEST(CamonitorTest, MisuseIsNamed) {
  EXPECT_THROW(static_cast<void>(camonitor("x", absl::AnyInvocable<void(const Value&)>())), mothreads::Misuse);
  Subscription watch = camonitor(this->pv("other"), [](const Value&) {});
  EXPECT_THROW(static_cast<void>(watch.next()), mothreads::Misuse);
}

TYPED_TEST(CamonitorTest, ANameThatIsNoneIsTold) {
  Subscription watch = camonitor("");
  const Value notice = watch.next(kSoon).value();
  EXPECT_FALSE(notice.ok());
  EXPECT_THROW(notice.as<double>(), Error);
}

// The IOC now and then keeps the first value of a subscription until the next change, where others are cancelled at that moment: nobody waits for
// it here.
TYPED_TEST(CamonitorTest, ManyThreadsOpenAndClose) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 100; ++round) {
        Subscription watch = camonitor(this->pv("other"), {.all_updates = true});
        caput(this->pv("other"), round);
        if (round % 2 == 0) static_cast<void>(watch.next(absl::Milliseconds(1)));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  Subscription watch = camonitor(this->pv("other"));
  caput(this->pv("other"), 1000, {.wait = true});
  while (watch.next(kSoon).value().template as<int>() != 1000) {
  }
}

}  // namespace
}  // namespace catools::testing
