#include "catools/connect.h"

#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "catools/caget.h"
#include "catools/camonitor.h"
#include "catools/caput.h"
#include "cooperative/event_queue.h"
#include "cooperative/sleep.h"
#include "mothreads/ended_early.h"
#include "mothreads/misuse.h"
#include "tests/catools/support/source.h"
#include "tests/catools/support/worlds.h"

namespace catools::testing {
namespace {

using ::testing::HasSubstr;

const absl::Duration kSoon = absl::Seconds(5);

template <typename Source>
class ConnectTest : public ServedTest<Source> {
 protected:
  static Info look(const std::string& name) {
    for (const Info& one : channels()) {
      if (one.name == name) return one;
    }
    return {};
  }
};
TYPED_TEST_SUITE(ConnectTest, Sources);

TYPED_TEST(ConnectTest, SaysWhatAChannelIs) {
  in_each_world([&] {
    const Info info = cainfo(this->pv("wave"));
    EXPECT_EQ(info.name, this->pv("wave"));
    EXPECT_EQ(info.state, ChannelState::connected);
    EXPECT_THAT(info.host, HasSubstr(":"));
    EXPECT_EQ(info.type, Type::float64);
    EXPECT_EQ(info.element_count, 10U);
    EXPECT_TRUE(info.may_read);
    EXPECT_TRUE(info.may_write);
    EXPECT_FALSE(cainfo(this->pv("readonly")).may_write);
    EXPECT_EQ(cainfo(this->pvs({"string", "enum"}))[1].type, Type::enumeration);
  });
}

TYPED_TEST(ConnectTest, TheTextIsThatOfCainfo) {
  const Info info = cainfo(this->pv("long"));
  EXPECT_EQ(to_string(info), this->pv("long") + ":\n    State: connected\n    Host: " + info.host +
                                 "\n    Access: read, write\n    Data type: long\n    Count: 1\n");
  EXPECT_EQ(to_string(Info{.name = "x"}), "x:\n    State: never connected\n    Host: <disconnected>\n");
}

TYPED_TEST(ConnectTest, AMissingOneTimesOut) {
  in_each_world([&] {
    EXPECT_THROW(connect(this->pv("missing"), absl::Milliseconds(10)), mothreads::Timedout);
    const std::vector<Reply<Info>> replies = cainfo_each({this->pv("missing"), this->pv("long")}, absl::Milliseconds(300));
    EXPECT_FALSE(replies[0]);
    EXPECT_TRUE(replies[1]);
  });
}

TYPED_TEST(ConnectTest, ChannelsAreListed) {
  connect({this->pv("double"), this->pv("long")});
  EXPECT_THROW(connect(this->pv("missing"), absl::Milliseconds(10)), Error);
  EXPECT_EQ(this->look(this->pv("double")).state, ChannelState::connected);
  EXPECT_EQ(this->look(this->pv("missing")).state, ChannelState::never_connected);
  const Subscription watch = camonitor(this->pv("double"));
  EXPECT_EQ(this->look(this->pv("double")).subscriptions, 1U);
}

TYPED_TEST(ConnectTest, ChannelsThatNobodyUsesAreReleased) {
  release_unused_channels();
  {
    const Subscription watch = camonitor(this->pv("double"));
    connect(this->pv("long"));
    EXPECT_EQ(release_unused_channels(), 1U);
    EXPECT_EQ(this->look(this->pv("long")).name, "");
    EXPECT_EQ(this->look(this->pv("double")).name, this->pv("double"));
  }
  EXPECT_EQ(release_unused_channels(), 1U);
  EXPECT_TRUE(channels().empty());
  EXPECT_EQ(caget<double>(this->pv("double"), absl::Seconds(15)), 3.5);
}

TYPED_TEST(ConnectTest, APutThatNobodyWaitedForLeavesItsError) {
  caput(this->pv("enum"), "no such choice");
  static_cast<void>(caget(this->pv("enum")));  // behind the refusal, on the same circuit
  EXPECT_THAT(this->look(this->pv("enum")).last_error, HasSubstr("write"));
}

TYPED_TEST(ConnectTest, AWatchTellsThePresentStateAndEachChange) {
  cooperative::EventQueue<Info> seen;
  const std::thread::id here = std::this_thread::get_id();
  const auto tell = [&](const Info& info) {
    EXPECT_EQ(std::this_thread::get_id(), here);
    seen.signal(info);
  };
  caput(this->pv("gate"), 0, {.wait = true});
  while (!cainfo(this->pv("guarded")).may_write) cooperative::sleep(absl::Milliseconds(1));  // an IOC asks itself for the gate
  ConnectionWatch watch = watch_connection(this->pv("guarded"), tell);
  EXPECT_EQ(watch.name(), this->pv("guarded"));
  const Info first = seen.wait(kSoon);
  EXPECT_EQ(first.state, ChannelState::connected);
  EXPECT_EQ(first.type, Type::float64);
  EXPECT_TRUE(first.may_write);
  EXPECT_EQ(first.subscriptions, 0U);  // it takes no values

  caput(this->pv("gate"), 1, {.wait = true});
  EXPECT_FALSE(seen.wait(kSoon).may_write);
  caput(this->pv("gate"), 0, {.wait = true});
  EXPECT_TRUE(seen.wait(kSoon).may_write);
  EXPECT_TRUE(subscriptions().empty());

  watch.close();
  EXPECT_TRUE(watch.is_closed());
  caput(this->pv("gate"), 1, {.wait = true});
  caput(this->pv("gate"), 0, {.wait = true});
  EXPECT_EQ(seen.size(), 0U);
}

TYPED_TEST(ConnectTest, AWatchOfAMissingOneTellsThatItIs) {
  cooperative::EventQueue<ChannelState> seen;
  const ConnectionWatch watch = watch_connection(this->pv("missing"), [&](const Info& info) { seen.signal(info.state); });
  EXPECT_EQ(seen.wait(kSoon), ChannelState::never_connected);
  EXPECT_THROW(static_cast<void>(watch_connection("x", absl::AnyInvocable<void(const Info&)>())), mothreads::Misuse);
}

}  // namespace
}  // namespace catools::testing
