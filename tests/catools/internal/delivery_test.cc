#include "catools/internal/delivery.h"

#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "catools/internal/channel.h"
#include "catools/internal/context.h"
#include "catools/internal/monitor.h"
#include "cooperative/fiber.h"
#include "cooperative/sleep.h"
#include "mothreads/clock.h"
#include "mothreads/testing/virtual_clock.h"
#include "tests/catools/support/source.h"

namespace catools::testing {
namespace {

using internal::Delivery;
using internal::Monitor;

// A channel without a server: another thread tells of changes.
std::shared_ptr<Monitor> make_monitor() {
  internal::MonitorPlan plan;
  plan.watches_channel = true;
  plan.all_updates = true;
  return std::make_shared<Monitor>(internal::Context::current("").channel("nobody:serves:this"), plan);
}

// Monitors whose updates a fiber each takes, until it has got so many.
class Followers {
 public:
  Followers(std::size_t monitors, int updates) : delivery_(Delivery::make()) {
    cooperative::spawn("delivery", [delivery = delivery_] { delivery->run(cooperative::yield); }).release();
    for (std::size_t i = 0; i < monitors; ++i) {
      monitors_.push_back(make_monitor());
      monitors_.back()->deliver_by(delivery_);
      delivery_->enter();
      fibers_.push_back(cooperative::spawn("follower", [this, i, updates] {
        for (int taken = 0; taken < updates; ++taken) {
          if (monitors_[i]->next_call() == nullptr) return;
          ++calls_;
        }
        monitors_[i]->end_call();
        delivery_->leave(*monitors_[i]);
      }));
    }
  }

  const std::vector<std::shared_ptr<Monitor>>& monitors() const { return monitors_; }
  Delivery& delivery() { return *delivery_; }
  int calls() const { return calls_; }
  void join() {
    for (cooperative::Fiber<void>& fiber : fibers_) fiber.join();
  }

 private:
  std::shared_ptr<Delivery> delivery_;
  std::vector<std::shared_ptr<Monitor>> monitors_;
  int calls_ = 0;
  std::vector<cooperative::Fiber<void>> fibers_;
};

void tell(const Followers& followers, int updates) {
  for (int i = 0; i < updates; ++i) {
    for (const std::shared_ptr<Monitor>& monitor : followers.monitors()) monitor->channel_changed();
  }
}

TEST(DeliveryTest, EachUpdateComesWhetherFewOrManyComeTogether) {
  for (const std::size_t monitors : {1U, 3U, 100U}) {
    constexpr int kUpdates = 200;
    Followers followers(monitors, kUpdates);
    std::thread teller([&] { tell(followers, kUpdates); });
    followers.join();
    teller.join();
    EXPECT_EQ(followers.calls(), static_cast<int>(monitors) * kUpdates);
  }
}

TEST(DeliveryTest, ItEndsWithItsLastUser) {
  EXPECT_EQ(Delivery::here(), nullptr);
  {
    Followers followers(2, 1);
    EXPECT_EQ(Delivery::here().get(), &followers.delivery());
    tell(followers, 1);
    followers.join();
    mothreads::internal::WaitNode* runner = nullptr;
    EXPECT_FALSE(followers.delivery().add(*followers.monitors()[0], runner));
    EXPECT_EQ(runner, nullptr);
    EXPECT_EQ(Delivery::here(), nullptr);
  }
  EXPECT_EQ(Delivery::here(), nullptr);
}

TEST(DeliveryTest, AnotherThreadHasAnotherOne) {
  Followers followers(1, 1);
  std::thread([&] { EXPECT_EQ(Delivery::here(), nullptr); }).join();
  tell(followers, 1);
  followers.join();
}

TEST(DeliveryTest, AnUpdateAfterItsEndWakesTheFiberAllTheSame) {
  Followers followers(2, 2);
  cooperative::yield();
  for (const std::shared_ptr<Monitor>& monitor : followers.monitors()) followers.delivery().leave(*monitor);
  std::thread teller([&] { tell(followers, 2); });
  followers.delivery().enter();
  followers.delivery().enter();
  followers.join();
  teller.join();
  EXPECT_EQ(followers.calls(), 4);
}

TEST(DeliveryTest, AClosedMonitorLetsItsFiberGo) {
  Followers followers(5, 1000);
  cooperative::yield();
  for (const std::shared_ptr<Monitor>& monitor : followers.monitors()) monitor->close();
  followers.join();
  EXPECT_EQ(followers.calls(), 0);
  for (const std::shared_ptr<Monitor>& monitor : followers.monitors()) followers.delivery().leave(*monitor);
}

TEST(DeliveryTest, WhereTimeStandsStillNothingWaitsForIt) {
  mothreads::testing::VirtualClock clock;
  std::thread([&] {
    const mothreads::UseClock use(clock);
    constexpr int kUpdates = 20;
    Followers followers(50, kUpdates);
    std::thread teller([&] { tell(followers, kUpdates); });
    followers.join();
    teller.join();
    EXPECT_EQ(followers.calls(), 50 * kUpdates);
  }).join();
}

}  // namespace
}  // namespace catools::testing
