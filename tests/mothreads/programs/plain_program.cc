// Programs with a main() of their own, without MainThread::run, for stopping_test: the first argument says which.

#include <sched.h>
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "mothreads/log.h"
#include "mothreads/main_thread.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "mothreads/till.h"

namespace {

using mothreads::MainThread;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::Till;
using mothreads::wait_for_shutdown_signal;

void say(std::string_view line) {
  std::fputs((std::string(line) + "\n").c_str(), stdout);
  std::fflush(stdout);
}

void start_a_child() {
  Signal running;
  Thread::run("child", [running](Signal please_stop) {
    running.go();
    please_stop.wait();
    say("child stopped");
  }).release();
  running.wait();
}

int returns_with_a_child() {
  start_a_child();
  return 0;
}

// Nobody uses the tree.
int only_logs() {
  for (int i = 1; i <= 1000; ++i) mothreads::log::info("line {}", i);
  return 0;
}

int exits_with_a_child() {
  start_a_child();
  std::exit(3);
}

int has_a_child_that_fails() {
  Thread::run("child", [](Signal) { throw std::runtime_error("bad worker failure"); }).release();
  return 0;
}

int waits_for_shutdown_signal() {
  Thread::run("announcer", [](Signal) {
    struct sigaction action {};
    do {
      sched_yield();
      sigaction(SIGTERM, nullptr, &action);
    } while (action.sa_handler == SIG_DFL);
    say("waiting");  // the signals do not kill any more
  }).release();
  wait_for_shutdown_signal();
  say("EXIT DETECTED");
  return 0;
}

int waits_for_no_children() {
  say("hello");
  wait_for_shutdown_signal({.wait_forever = false});
  return 0;
}

int stops_by_itself() {
  start_a_child();
  MainThread::stop();
  wait_for_shutdown_signal();
  say("All threads have shutdown");
  return 0;
}

int only_waits_for_a_till() {
  Till(absl::Milliseconds(1)).wait();
  return 0;
}

const std::map<std::string_view, std::function<int()>>& scenarios() {
  static const auto& all = *new std::map<std::string_view, std::function<int()>>{
      {"returns with a child", returns_with_a_child},
      {"only logs", only_logs},
      {"exits with a child", exits_with_a_child},
      {"child fails", has_a_child_that_fails},
      {"shutdown signal", waits_for_shutdown_signal},
      {"no children", waits_for_no_children},
      {"stops by itself", stops_by_itself},
      {"till", only_waits_for_a_till},
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
  return found->second();
}
