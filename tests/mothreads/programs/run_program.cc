// Programs under MainThread::run, for stopping_test: the first argument says which.

#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

#include "absl/time/time.h"
#include "mothreads/drain_hold.h"
#include "mothreads/foreign_thread.h"
#include "mothreads/lock.h"
#include "mothreads/main_thread.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "tests/support/sleeping.h"

namespace {

using mothreads::DrainHold;
using mothreads::Lock;
using mothreads::MainOptions;
using mothreads::MainThread;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::wait_for_shutdown_signal;
using mothreads::testing::await_sleeping;

// Whole lines at once: threads share the output.
void say(std::string_view line) {
  std::fputs((std::string(line) + "\n").c_str(), stdout);
  std::fflush(stdout);
}

int waits(const Signal& please_stop) {
  say("waiting");
  please_stop.wait();
  say("EXIT DETECTED");
  return 0;
}

int waits_for_shutdown_signal(const mothreads::ShutdownOptions& options = {}) {
  say("waiting");
  wait_for_shutdown_signal(options);
  say("EXIT DETECTED");
  return 0;
}

void stops_tidily(const Signal& please_stop) {
  please_stop.wait();
  say("child stopped");
}

int holds_the_lock_that_a_child_needs(const Signal& please_stop) {
  Lock lock("table");
  Signal child_waits;
  auto held = std::make_unique<Lock::Held>(lock);
  const auto child = Thread::run("child", [&](Signal) {
    child_waits.go();
    const Lock::Held its(lock);
    say("child has the lock");
  });
  child_waits.wait();
  say("waiting");
  please_stop.wait();
  say("main still has the lock");
  held.reset();
  return 0;
}

}  // namespace

// Not in the namespace above, so that the stack in the report has its plain name.
void ignores_please_stop(const Signal& never);
__attribute__((noinline)) void ignores_please_stop(const Signal& never) {
  never.wait();
  say("this is never said");
}

namespace {

int leaves_a_stubborn_child(const Signal& please_stop) {
  const Signal never("the answer that never comes");
  auto parent = Thread::run("parent", [never](Signal) {
    auto stubborn = Thread::run("stubborn", [never](Signal) { ignores_please_stop(never); });
    await_sleeping(stubborn.thread(), never.name());
    stubborn.join();
  });
  await_sleeping(parent.thread(), "stopped of stubborn");
  parent.release();
  say("waiting");
  please_stop.wait();
  return 0;
}

// The report of the stop lists it, and the stop does not wait for it.
int leaves_a_foreign_thread(const Signal& please_stop) {
  static const Signal& frame = *new Signal("the next frame\n");  // for ever, as the thread
  const Signal waits_for_frame;
  std::thread([&] {
    const mothreads::ForeignThread here("camera\ndriver");
    waits_for_frame.go();
    frame.wait();
  }).detach();
  waits_for_frame.wait();
  return leaves_a_stubborn_child(please_stop);
}

int ends_beside_a_foreign_thread(const Signal& please_stop) {
  static const Signal& frame = *new Signal("the next frame");
  const Signal is_inside;
  std::thread([&] {
    const mothreads::ForeignThread here("camera driver");
    is_inside.go();
    frame.wait();
    say("it was waited for");
  }).detach();
  is_inside.wait();
  return waits(please_stop);
}

int has_a_child_that_fails(int code) {
  auto child = Thread::run("child", [](Signal) { throw std::runtime_error("bad worker failure"); });
  const Signal stopped = child.stopped();
  child.release();
  stopped.wait();
  return code;
}

int is_told_by_a_worker() {
  const Signal shared("shared");
  Thread::run("worker", [](Signal) { MainThread::stop(); }).release();
  return waits_for_shutdown_signal({.please_stop = shared});
}

int waits_while_a_child_fails() {
  Thread::run("child", [](Signal) { throw std::runtime_error("bad worker failure"); }).release();
  wait_for_shutdown_signal({.wait_forever = false});
  say("this is never said");
  return 0;
}

int waits_for_its_children() {
  Thread::run("child", [](Signal) { say("child ended"); }).release();
  wait_for_shutdown_signal({.wait_forever = false});
  say("timeout detected");
  return 0;
}

int exits_with_a_child() {
  Thread::run("child", stops_tidily).release();
  std::exit(3);
}

int has_a_worker_that_exits(const Signal& please_stop) {
  Thread::run("worker", [](Signal) { std::exit(5); }).release();
  please_stop.wait();
  return 0;
}

// The state of the library's signal thread, as the kernel sees it: 'S' when it sleeps.
char state_of_the_signal_thread() {
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    if (!std::getline(std::ifstream(task.path() / "comm"), name) || name != "signals") continue;
    std::string stat;
    std::getline(std::ifstream(task.path() / "stat"), stat);
    return stat[stat.rfind(") ") + 2];
  }
  return '?';
}

bool has_unread_input() {
  int unread = 0;
  ioctl(STDIN_FILENO, FIONREAD, &unread);
  return unread != 0;
}

// Says "read" when the input that is there has been read, so that it is watched; and "asleep" when the input has ended and
// the thread that watched it does nothing any more.
void watches_who_watches(const Signal&) {
  pollfd input{STDIN_FILENO, POLLIN, 0};
  while (has_unread_input()) sched_yield();
  say("read");
  while ((input.revents & POLLHUP) == 0) poll(&input, 1, -1);
  constexpr int kEnough = 1000;
  for (int asleep = 0; asleep < kEnough; ++asleep) {
    if (state_of_the_signal_thread() != 'S') asleep = 0;
    sched_yield();
  }
  say("asleep");
}

int watches_its_input() {
  while (!has_unread_input()) sched_yield();
  Thread::run("watcher", watches_who_watches).release();
  return waits_for_shutdown_signal({.allow_exit = true});
}

// The work is done when the input has ended.
int drains(const Signal& please_stop) {
  auto job = std::make_unique<DrainHold>("job 17");
  say("waiting");
  MainThread::draining().wait();
  say(please_stop ? "draining, and stopped" : "draining, not stopped");
  const auto work = Thread::run("work", [&](Signal stop) {
    char byte = 0;
    pollfd input{STDIN_FILENO, POLLIN, 0};
    while (!stop && (poll(&input, 1, 1) == 0 || read(STDIN_FILENO, &byte, 1) > 0)) {
    }
    if (!please_stop) say("work done, not stopped");
    job.reset();
  });
  please_stop.wait();
  say("EXIT DETECTED");
  return 0;
}

int drains_then_hangs(const Signal& please_stop) {
  drains(please_stop);
  Signal("never").wait();
  return 0;
}

using Main = std::function<int(Signal)>;

struct Scenario {
  Main main;
  MainOptions options = {};
};

const std::map<std::string_view, Scenario>& scenarios() {
  static const auto& all = *new std::map<std::string_view, Scenario>{
      {"waits", {waits}},
      {"waits, returns 42", {[](const Signal& please_stop) { return waits(please_stop) + 42; }}},
      {"shutdown signal", {[](const Signal&) { return waits_for_shutdown_signal(); }}},
      {"shutdown signal or exit", {[](const Signal&) { return waits_for_shutdown_signal({.allow_exit = true}); }}},
      {"watches input", {[](const Signal&) { return watches_its_input(); }}},
      {"holds a lock", {holds_the_lock_that_a_child_needs}},
      {"stubborn, short deadline", {leaves_a_stubborn_child, {.stop_deadline = absl::Milliseconds(50)}}},
      {"stubborn, no deadline", {leaves_a_stubborn_child, {.stop_deadline = absl::InfiniteDuration()}}},
      {"foreign, short deadline", {leaves_a_foreign_thread, {.stop_deadline = absl::Milliseconds(50)}}},
      {"foreign", {ends_beside_a_foreign_thread}},
      {"child fails, returns 0", {[](const Signal&) { return has_a_child_that_fails(0); }}},
      {"child fails, returns 3", {[](const Signal&) { return has_a_child_that_fails(3); }}},
      {"child fails, shutdown signal", {[](const Signal&) { return waits_while_a_child_fails(); }}},
      {"children end, shutdown signal", {[](const Signal&) { return waits_for_its_children(); }}},
      {"throws", {[](const Signal&) -> int { throw std::runtime_error("bad main failure"); }}},
      {"throws a number", {[](const Signal&) -> int { throw 7; }}},
      {"exits", {[](const Signal&) { return exits_with_a_child(); }}},
      {"worker exits", {has_a_worker_that_exits}},
      {"worker stops", {[](const Signal&) { return is_told_by_a_worker(); }}},
      {"drains", {drains, {.drain = absl::InfiniteDuration()}}},
      {"drains, short", {drains, {.drain = absl::Milliseconds(10)}}},
      {"drains, then hangs", {drains_then_hangs, {.drain = absl::InfiniteDuration(), .stop_deadline = absl::InfiniteDuration()}}},
      {"does not take signals", {waits, {.take_signals = false}}},
  };
  return all;
}

}  // namespace

int main(int count, char** arguments) {
  const auto found = scenarios().find(count == 2 ? arguments[1] : "");
  if (found == scenarios().end()) {
    std::fputs("no such scenario\n", stderr);
    return 99;
  }
  const int code = MainThread::run(found->second.main, found->second.options);
  say("run() has returned " + std::to_string(code));
  return code;
}
