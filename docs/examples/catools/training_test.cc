// The exercises of a training for control rooms, each as it is written with this library, against a server in the program.

#include <cmath>
#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "catools/caget.h"
#include "catools/camonitor.h"
#include "catools/caput.h"
#include "catools/connect.h"
#include "catools/error.h"
#include "catools/pv.h"
#include "catools/server/server.h"
#include "catools/use_servers.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/threaded_event_queue.h"
#include "mothreads/ended_early.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"

using namespace mothreads;
namespace co = cooperative;
namespace ca = catools;

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

// The machine: a current, a set point, and the beam position monitors.
class TrainingTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    machine = new ca::Server("machine");
    current = machine->add<double>("SR-DI-DCCT-01:SIGNAL", 300.0, {.units = "mA", .limits = {.high_alarm = 400}});
    setpoint = machine->add<double>("TEST:SETPOINT", 0.0, {.on_put = [](double value) {
                                      if (value < 0) throw ca::PutRefused("must not be negative");
                                    }});
    for (int i = 1; i <= 168; ++i) bpm_names.push_back("SR-DI-EBPM-" + std::to_string(i) + ":SA:X");
    for (const std::string& name : bpm_names) bpms.push_back(machine->add<double>(name, 0.1));
    ca::use_servers({machine->address()});  // before the first caget of the process
  }
  static void TearDownTestSuite() {
    bpms.clear();
    delete machine;
  }

  inline static ca::Server* machine = nullptr;
  inline static std::optional<ca::Served<double>> current;
  inline static std::optional<ca::Served<double>> setpoint;
  inline static std::vector<std::string> bpm_names;
  inline static std::vector<ca::Served<double>> bpms;
};

TEST_F(TrainingTest, AServerIsInTheProgram) {
  // [serve]
  ca::Server server("simulation");
  const ca::Served<double> beam = server.add<double>("SIM:CURRENT", 300.0, {.units = "mA", .limits = {.high_alarm = 400}});
  server.add<double>("SIM:SETPOINT", 0.0, {.on_put = [beam](double value) {  // in a fiber; an exception refuses the put
    if (value < 0) throw ca::PutRefused("must not be negative");
    beam.set(value);
  }});
  beam.set(299.8, {.severity = ca::Severity::minor});  // any thread; monitors get it in order
  // [/serve]
  EXPECT_EQ(beam.severity(), ca::Severity::minor);
  EXPECT_THAT(server.names(), ElementsAre("SIM:CURRENT", "SIM:SETPOINT"));
}

// A list is asked for at once: its time is that of one value, and not of 168.
TEST_F(TrainingTest, AListIsOneQuestion) {
  // [list]
  std::vector<double> at_once = ca::caget<double>(bpm_names);  // all in flight together, one flush
  std::vector<double> one_by_one;
  for (const std::string& name : bpm_names) one_by_one.push_back(ca::caget<double>(name));
  // [/list]
  EXPECT_EQ(at_once, one_by_one);
  EXPECT_THAT(at_once, SizeIs(168));
}

// The same from a thread without fibers.
TEST_F(TrainingTest, AThreadAsksAlike) {
  auto thread = Thread::run("shift leader", [](const Signal&) { return ca::caget<double>("SR-DI-DCCT-01:SIGNAL"); });
  EXPECT_EQ(thread.join(), current->get());
}

TEST_F(TrainingTest, GathersSoManyUpdatesOfEach) {
  constexpr std::size_t kWanted = 5;
  // [gather]
  auto gather = [](const std::string& name, std::size_t wanted, const Until& until) {
    ca::Subscription updates = ca::camonitor(name, {.all_updates = true});
    std::vector<double> values;
    while (values.size() < wanted) values.push_back(updates.next(until).value().as<double>());
    return values;
  };
  // [/gather]
  auto beam = Thread::run("beam", [&](const Signal& please_stop) {
    for (double x = 1; !please_stop.wait(absl::Milliseconds(1)); ++x) {
      bpms[0].set(x);
      bpms[1].set(-x);
    }
  });
  auto first = co::spawn("first", gather, bpm_names[0], kWanted, absl::Seconds(20));
  auto second = co::spawn("second", gather, bpm_names[1], kWanted, absl::Seconds(20));
  for (auto* const fiber : {&first, &second}) {
    const std::vector<double> values = fiber->join();
    ASSERT_THAT(values, SizeIs(kWanted));
    for (std::size_t i = 2; i < values.size(); ++i) EXPECT_EQ(std::abs(values[i]), std::abs(values[i - 1]) + 1);  // none is missing
  }
}

TEST_F(TrainingTest, KeepsTheLastOnesInACircularBuffer) {
  constexpr std::size_t kRoom = 10;
  // [circular]
  std::deque<double> last;
  co::Event<> changed;
  const ca::Subscription watch = ca::camonitor("SR-DI-DCCT-01:SIGNAL", [&](const ca::Value& value) {  // in a fiber of this thread: no lock
    last.push_back(value.as<double>());
    if (last.size() > kRoom) last.pop_front();
    changed.signal();
  }, {.all_updates = true});
  // [/circular]
  changed.wait(absl::Seconds(20));  // the present value
  for (int i = 1; i <= 25; ++i) current->set(300 + i);
  while (last.back() != 325) changed.wait(absl::Seconds(20));
  EXPECT_THAT(last, SizeIs(kRoom));
  EXPECT_EQ(last.front(), 316);
}

TEST_F(TrainingTest, AMissingVariableIsAnErrorThatNamesIt) {
  // [missing]
  try {
    ca::caget<double>("SR-DI-NOWHERE-01:SIGNAL", absl::Milliseconds(100));
    FAIL();
  } catch (const ca::Error& problem) {
    EXPECT_THAT(problem.what(), HasSubstr("SR-DI-NOWHERE-01:SIGNAL"));
    EXPECT_EQ(problem.why(), Why::timed_out);
  }
  EXPECT_THROW(ca::caput("SR-DI-NOWHERE-01:SIGNAL", 1, absl::Milliseconds(100)), Timedout);
  for (const ca::Reply<double>& reply : ca::caget_each<double>({"SR-DI-DCCT-01:SIGNAL", "SR-DI-NOWHERE-01:SIGNAL"}, absl::Milliseconds(500))) {
    EXPECT_EQ(bool(reply), reply.name() == "SR-DI-DCCT-01:SIGNAL");  // it throws for no single one
  }
  // [/missing]
}

TEST_F(TrainingTest, ARefusedPutSaysSo) {
  // [put]
  ca::caput("TEST:SETPOINT", 3.5, {.wait = true});
  EXPECT_EQ(ca::caget<double>("TEST:SETPOINT"), 3.5);
  try {
    ca::caput("TEST:SETPOINT", -1, {.wait = true}, absl::Seconds(20));
    FAIL();
  } catch (const ca::Error& problem) {
    EXPECT_EQ(problem.code(), ca::Code::put_failed);
  }
  // [/put]
  EXPECT_EQ(setpoint->get(), 3.5);
}

// A function that waits stops its own variable alone.
TEST_F(TrainingTest, AFunctionOfAMonitorMayPut) {
  co::Event<double> followed;
  // [follow]
  const ca::Subscription follow = ca::camonitor(bpm_names[2], [&](const ca::Value& value) {
    ca::caput("TEST:SETPOINT", value.as<double>(), {.wait = true});
    followed.signal(value.as<double>());
  });
  // [/follow]
  followed.wait(absl::Seconds(20));
  bpms[2].set(7);
  while (followed.wait(absl::Seconds(20)) != 7) {
  }
  EXPECT_EQ(setpoint->get(), 7);
}

TEST_F(TrainingTest, APVHasTheLatestValue) {
  // [pv]
  ca::PV<double> point("TEST:SETPOINT", {.caput_wait = true});
  const double now = point.get(absl::Seconds(20));  // waits for the first one
  point.reset();
  point.caput(now + 1);
  Result<double> next = point.get_next(absl::Seconds(20));
  // [/pv]
  EXPECT_EQ(next.value(), now + 1);
  EXPECT_EQ(point.latest(), now + 1);
  ca::PVArray<double> orbit(bpm_names);
  EXPECT_THAT(orbit.get(absl::Seconds(20)), SizeIs(168));
}

// A thread produces, a fiber consumes. A lambda that captured `i` by reference would give the last number each time: it is copied.
TEST_F(TrainingTest, AThreadProducesForAFiber) {
  // [producer]
  co::ThreadedEventQueue<int> numbers;
  auto producer = Thread::run("producer", [&](const Signal&) {
    for (int i = 0; i < 3; ++i) numbers.signal(i);
    numbers.close();
  });
  std::vector<int> got;
  while (auto number = numbers.next()) got.push_back(*number);
  // [/producer]
  EXPECT_THAT(got, ElementsAre(0, 1, 2));
}

TEST_F(TrainingTest, InfoAndAlarms) {
  const ca::Info info = ca::cainfo("SR-DI-DCCT-01:SIGNAL");
  EXPECT_EQ(info.type, ca::Type::float64);
  EXPECT_TRUE(info.may_write);
  current->set(401);
  const ca::Value value = ca::caget("SR-DI-DCCT-01:SIGNAL", {.format = ca::Format::time});
  EXPECT_EQ(value.severity(), ca::Severity::major);
  EXPECT_EQ(value.condition(), ca::Condition::hihi);
  current->set(300);
  EXPECT_EQ(ca::caget("SR-DI-DCCT-01:SIGNAL", {.format = ca::Format::control}).control()->units, "mA");
}

}  // namespace
