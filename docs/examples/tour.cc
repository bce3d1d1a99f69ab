// The snippets of docs/tour.md, in one program: each runs, and what it shows is checked.

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "mothreads/clock.h"
#include "mothreads/lock.h"
#include "mothreads/log.h"
#include "mothreads/main_thread.h"
#include "mothreads/queue.h"
#include "mothreads/register_thread.h"
#include "mothreads/signal.h"
#include "mothreads/testing/virtual_clock.h"
#include "mothreads/thread.h"
#include "mothreads/thread_group.h"
#include "mothreads/till.h"

using namespace mothreads;

namespace {

void check(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "tour: %s does not hold\n", what);
  std::exit(1);
}

void signals_and_time() {
  Signal cancelled("user cancel");
  Signal done("done");
  auto worker_a = Thread::run("worker a", [](Signal please_stop) { please_stop.wait(); });
  auto worker_b = Thread::run("worker b", [](Signal please_stop) { please_stop.wait(); });
  Queue<int> queue("numbers");
  Signal please_stop = MainThread::please_stop();
  worker_a.stop();
  worker_b.stop();
  cancelled.go();
  queue.add(1);
  queue.add(2);
  queue.add(3);
  // [signals]
  (cancelled | Till(absl::Seconds(360))).wait();
  (worker_a.stopped() & worker_b.stopped()).wait();
  done.then([] { log::info("done"); });               // once; now, if it already went

  auto first = queue.pop(absl::Seconds(5));           // one type says until when: a duration, a deadline,
  auto second = queue.pop(please_stop);               //   a Signal,
  auto third = queue.pop(please_stop | absl::Seconds(5));  //   or both, with nothing allocated

  if (auto nothing = queue.pop(absl::ZeroDuration()); !nothing) {
    log::info("none: {}", to_string(nothing.why()));  // ready, closed, timed out or stopped: never a bare bool
  }
  // [/signals]
  check(*first == 1 && *second == 2 && *third == 3, "popping in order");
  done.go();
}

void monitor() {
  std::deque<int> todo;
  int taken = 0;
  // [monitor]
  Lock lock("todo list");
  auto taker = Thread::run("taker", [&](Signal please_stop) {
    auto held = lock.enter();
    if (!held.wait([&] { return !todo.empty(); }, please_stop | absl::Seconds(10))) return;
    taken = todo.front();                             // wait() always holds the lock again when it returns
    todo.pop_front();
  });
  {
    auto held = lock.enter();
    todo.push_back(42);
  }                                                   // leaving wakes one waiter
  taker.join();
  // [/monitor]
  check(taken == 42, "the taker got the item");
}

void failures() {
  // [failures]
  auto failing = Thread::run("failing", [](Signal) -> int { throw std::out_of_range("no such row"); });
  try {
    failing.join();
  } catch (const std::out_of_range& error) {          // the original exception, of its own type
    log::info("as expected: {}", error.what());
  }

  ThreadGroup group(ThreadGroupOptions{.name = "probes", .fail_fast = true});   // the first failure stops the others
  group.run("patient", [](Signal please_stop) { please_stop.wait(); });
  group.run("broken", [](Signal) { throw std::runtime_error("no answer"); });
  try {
    group.join();
  } catch (const ThreadsFailed& failed) {
    log::info("{}", failed.what());                   // names every thread that failed
  }
  // [/failures]
}

void virtual_time() {
  // [virtual_time]
  testing::VirtualClock clock;
  UseClock use(clock);                                // this thread, and those it makes from here on
  int asked = 0;
  auto poller = Thread::run("poller", [&](Signal please_stop) {
    while (!please_stop.wait(absl::Seconds(10))) ++asked;
  });
  for (int i = 0; i < 360; ++i) {
    clock.await_timers(1);                            // the poller sleeps
    clock.advance(absl::Seconds(10));                 // an hour takes no time
  }
  clock.await_timers(1);
  poller.stop().join();
  // [/virtual_time]
  check(asked == 360, "360 times in an hour");
}

}  // namespace

int main() {
  return MainThread::run([](Signal) {
    log::set_sink([](const log::Line& line) { std::printf("%s\n", line.text.c_str()); });
    signals_and_time();
    monitor();
    failures();
    virtual_time();
    log::set_sink({});
  });
}
