#include "catools/server/internal/updates.h"

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "catools/server/internal/served_pv.h"
#include "cooperative/event.h"
#include "cooperative/scheduler.h"
#include "tests/support/failing_allocations.h"

namespace catools::inline v0::internal {
namespace {

using mothreads::testing::Scarce;
using mothreads::testing::with_each_allocation_failing;
using ::testing::ElementsAre;

// Keeps what it is told. On the serving thread, which is the test's.
class Watcher final : public PvWatcher {
 public:
  explicit Watcher(ServedPv& pv) : pv_(pv) {
    EXPECT_TRUE(pv_.add_watcher(*this));
    pv_.begin_monitoring();
  }
  ~Watcher() override {
    pv_.end_monitoring();
    pv_.remove_watcher(*this);
  }
  void has_new(const SamplePtr& sample) noexcept override {
    values.push_back(std::get<std::vector<double>>(sample->cells).front());
    told_.signal();
  }
  void has_other_rights() noexcept override {
    ++other_rights;
    told_.signal();
  }
  void is_gone() noexcept override {
    has_gone = true;
    told_.signal();
  }
  void await(double value) {
    while (values.empty() || values.back() != value) told_.wait();
  }
  void await_anything() { told_.wait(); }

  std::vector<double> values;
  int other_rights = 0;
  bool has_gone = false;

 private:
  ServedPv& pv_;
  cooperative::Event<> told_{"told"};
};

class UpdatesTest : public ::testing::Test {
 protected:
  void SetUp() override { updates_->begin(cooperative::Scheduler::current()); }
  void TearDown() override { updates_->end(); }

  std::shared_ptr<ServedPv> make(std::string name) {
    return std::make_shared<ServedPv>(
        PvSetup{.name = std::move(name), .initial = std::vector<double>{0}, .properties = std::make_shared<const Properties>()}, updates_);
  }
  static void set(ServedPv& pv, double value) { pv.set(std::vector<double>{value}, {}); }

  const std::shared_ptr<Updates> updates_ = std::make_shared<Updates>();
};

TEST_F(UpdatesTest, WatchersAreToldInOrder) {
  const auto pv = make("PV");
  Watcher watcher(*pv);
  std::thread([&] {
    for (const double value : {1, 2, 3}) set(*pv, value);
  }).join();
  watcher.await(3);
  EXPECT_THAT(watcher.values, ElementsAre(1, 2, 3));
}

TEST_F(UpdatesTest, ASetThatFindsNoMemoryHasChangedNothingAndTheNextIsTold) {
  const auto pv = make("PV");
  const auto other = make("OTHER");
  Watcher watcher(*pv);
  Watcher watcher_of_other(*other);
  double value = 0;
  with_each_allocation_failing([&](Scarce scarce) {
    const std::uint64_t before = pv->sample()->number;
    ++value;
    const bool failed = scarce([&] { set(*pv, value); });
    EXPECT_EQ(pv->sample()->number, failed ? before : before + 1);
    if (failed) set(*pv, value);
    set(*other, value);
    watcher.await(value);
    watcher_of_other.await(value);
  });
  EXPECT_GT(value, 2);
  EXPECT_EQ(watcher.values.size(), static_cast<std::size_t>(value));
}

TEST_F(UpdatesTest, OtherChangesThatFindNoMemoryAreToldLater) {
  const auto pv = make("PV");
  Watcher watcher(*pv);
  double value = 0;
  with_each_allocation_failing([&](Scarce scarce) {
    scarce([&] { pv->change_properties([](Properties& properties) { properties.units += "m"; }); });
    const bool failed = scarce([&] { pv->set_rights(pv->rights() == AccessRights::read ? AccessRights::read_write : AccessRights::read); });
    EXPECT_FALSE(failed);
    set(*pv, ++value);
    watcher.await(value);
  });
  EXPECT_EQ(watcher.other_rights, static_cast<int>(value));
}

TEST_F(UpdatesTest, APvThatGoesBeforeItHasToldTellsNobody) {
  const auto pv = make("PV");
  Watcher watcher(*pv);
  auto gone = make("GONE");
  {
    Watcher of_gone(*gone);
    set(*gone, 1);
  }
  set(*pv, 1);
  gone.reset();
  watcher.await(1);
}

TEST_F(UpdatesTest, ARemovedPvTellsThoseThatCameBefore) {
  const auto pv = make("PV");
  Watcher watcher(*pv);
  EXPECT_TRUE(pv->remove());
  watcher.await_anything();
  EXPECT_TRUE(watcher.has_gone);
  struct Late final : PvWatcher {
    void has_new(const SamplePtr&) noexcept override {}
    void has_other_rights() noexcept override {}
    void is_gone() noexcept override {}
  } late;
  EXPECT_FALSE(pv->add_watcher(late));
}

TEST_F(UpdatesTest, AfterTheEndNobodyIsTold) {
  const auto pv = make("PV");
  const auto other = make("OTHER");
  Watcher watcher(*pv);
  Watcher watcher_of_other(*other);
  set(*pv, 1);
  updates_->end();  // waits for the callback
  set(*other, 1);
  updates_->end();
  EXPECT_TRUE(watcher_of_other.values.empty());
}

}  // namespace
}  // namespace catools::inline v0::internal
