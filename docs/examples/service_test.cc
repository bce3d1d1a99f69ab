// A test of a whole service, from its start to its stop, on virtual time.


#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/sleep.h"
#include "cooperative/testing/world.h"
#include "mothreads/drain_hold.h"
#include "mothreads/main_thread.h"
#include "mothreads/queue.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "mothreads/till.h"

namespace co = cooperative;
using mothreads::DrainHold;
using mothreads::MainThread;
using mothreads::Queue;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::Till;

namespace {

int finished = 0;

// [main]
// Takes a job each second, of three seconds each, and finishes what it has when it is asked to stop.
int service_main(Signal please_stop) {
  Queue<int> jobs("jobs");
  auto worker = Thread::run("worker", [&](Signal) {
    for (int job : jobs) {
      co::sleep(absl::Seconds(3));
      finished += job;
    }
  });
  {
    const DrainHold hold("jobs that were taken");
    while (!MainThread::draining().wait(absl::Seconds(1))) jobs.add(1);
    jobs.close();
    worker.join();
  }
  please_stop.wait();
  return 0;
}
// [/main]

}  // namespace

// [service]
TEST(Service, FinishesWhatItHas) {
  co::testing::World world({.seed = 7, .drain = absl::Seconds(30)});
  world.at(absl::Milliseconds(5500), [] { MainThread::drain(); });        // as the first SIGTERM does, outside
  EXPECT_EQ(world.run(service_main), 0);
  EXPECT_EQ(finished, 5);
  EXPECT_EQ(world.elapsed(), absl::Seconds(1 + 5 * 3));                   // of no real time
}
// [/service]

// [wall]
TEST(Service, SleepsUntilMidnight) {
  co::testing::World world({.wall_time = absl::FromUnixSeconds(1'750'000'000)});   // 2025-06-15 15:06:40 UTC
  world.run([&] {
    Till(absl::FromUnixSeconds(1'750'032'000)).wait();
    EXPECT_EQ(world.elapsed(), absl::Seconds(32'000));
  });
}
// [/wall]
