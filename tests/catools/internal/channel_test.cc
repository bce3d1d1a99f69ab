#include "catools/internal/channel.h"

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "catools/caget.h"
#include "catools/camonitor.h"
#include "catools/caput.h"
#include "catools/connect.h"
#include "catools/internal/context.h"
#include "catools/internal/monitor.h"
#include "cooperative/fiber.h"
#include "cooperative/sleep.h"
#include "tests/catools/support/source.h"
#include "tests/support/failing_allocations.h"

namespace catools::testing {
namespace {

const absl::Duration kSoon = absl::Seconds(15);

template <typename Source>
class ChannelTest : public ServedTest<Source> {};
TYPED_TEST_SUITE(ChannelTest, Sources);

TYPED_TEST(ChannelTest, APutComesBehindThoseThatWaitedForTheConnection) {
  constexpr int kKept = 3000;
  const std::string name = this->pv("other");
  for (int round = 0; round < 5; ++round) {
    release_unused_channels();
    const std::vector<std::string> names(kKept, name);
    std::vector<int> values;
    for (int i = 0; i < kKept; ++i) values.push_back(i);
    auto kept = cooperative::spawn("kept", [&] { caput(names, values, kSoon); });
    cooperative::yield();
    const std::shared_ptr<internal::Channel> channel = internal::Context::current(name).channel(name);
    while (!channel->look().is_connected) cooperative::yield();
    caput(name, kKept, {.wait = true}, kSoon);
    kept.join();
    EXPECT_EQ(caget<int>(name), kKept);
  }
}

TYPED_TEST(ChannelTest, OlderNewsOfAConnectionChangeNoSubscription) {
  const std::shared_ptr<internal::Monitor> monitor = internal::monitor_of(this->pv("double"), {.all_updates = true}, internal::KeepLatest::no);
  Subscription watch = internal::open(monitor);
  EXPECT_EQ(watch.next(kSoon).value().type(), Type::float64);
  // As a thread would tell that was late, of a connection before, when the variable was a text.
  monitor->connected({.id = nullptr, .native = {.type = static_cast<long>(Type::string), .element_count = 1}, .number = 0});
  caput(this->pv("double"), 4.5, {.wait = true});
  EXPECT_EQ(watch.next(kSoon).value().data(), Data(4.5));
  caput(this->pv("double"), 3.5, {.wait = true});
}

TYPED_TEST(ChannelTest, AChannelThatCouldNotBeMadeLeavesNothing) {
  internal::Context& context = internal::Context::current("");
  int tried = 0;
  mothreads::testing::fail_each_allocation([&] { static_cast<void>(context.channel(this->pv("scarce") + std::to_string(tried++))); },
                                           [&] {
                                             for (const auto& channel : context.channels()) EXPECT_NE(channel, nullptr);
                                           });
  EXPECT_GT(tried, 1);
  // A list does without a channel that is not there yet, and finds those that are.
  EXPECT_EQ(caget<double>({this->pv("double"), this->pv("double")}, kSoon), std::vector<double>({3.5, 3.5}));
}

TYPED_TEST(ChannelTest, AnAnswerAfterItsWaiterHasLeftIsDropped) {
  static_cast<void>(caget<double>(this->pv("double"), kSoon));
  this->source().pause();
  for (int i = 0; i < 20; ++i) EXPECT_THROW(static_cast<void>(caget<double>({this->pv("double"), this->pv("double")}, absl::ZeroDuration())), Error);
  this->source().go_on();
  EXPECT_EQ(caget<double>(this->pv("double"), kSoon), 3.5);
  // The answers before it are there, too, and nothing of them is left.
  EXPECT_GE(release_unused_channels(), 1U);
}

TYPED_TEST(ChannelTest, ALargeLatestValueIsWholeWhileUpdatesCome) {
  const std::string name = this->pv("large");
  const std::shared_ptr<internal::Monitor> monitor = internal::monitor_of(name, {}, internal::KeepLatest::yes);
  const Subscription watch = internal::open(monitor);
  for (int round = 0; round < 20; ++round) {
    caput(name, std::vector<double>(100'000, round), {.wait = true}, kSoon);
    const std::vector<double> now = monitor->latest(mothreads::Limit())->as<std::vector<double>>();
    for (const double element : now) ASSERT_EQ(element, now.front());
  }
}

}  // namespace
}  // namespace catools::testing
