// Programs for edges_test: how a process that uses Channel Access ends, stops and forks. Its arguments: what it does, and the prefix of the server.

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "catools/caget.h"
#include "catools/camonitor.h"
#include "catools/caput.h"
#include "cooperative/fiber.h"
#include "cooperative/sleep.h"
#include "mothreads/ended_early.h"
#include "mothreads/main_thread.h"
#include "mothreads/thread.h"

namespace ca = catools;
using mothreads::MainThread;
using mothreads::Signal;

namespace {

bool is_child = false;
std::string prefix;
std::string pv(std::string_view name) { return prefix + std::string(name); }

void say(std::string_view text) {
  std::printf("%.*s\n", static_cast<int>(text.size()), text.data());
  std::fflush(stdout);
}

// Older than the first use, and destroyed after Channel Access has ended; and younger.
struct Late {
  ca::Subscription subscription;
  ~Late() {
    try {
      static_cast<void>(ca::caget(pv("double")));
      say("a get after the end gave a value");
    } catch (const ca::Error& error) {
      say(error.what());
    }
  }
};
Late late;

int ends_after_its_server() {
  const ca::Subscription watch = ca::camonitor(pv("other"));
  if (ca::caget<double>(pv("double")) != 3.5) return 1;
  say("connected");
  std::getchar();  // the test closes it
  return 0;
}

int exits_with_all_open() {
  static std::vector<ca::Subscription> watches;
  late.subscription = ca::camonitor(pv("other"));
  for (int i = 0; i < 200; ++i) watches.push_back(ca::camonitor(pv("other")));
  for (ca::Subscription& watch : watches) static_cast<void>(watch.next());
  static_cast<void>(ca::caget(pv("double")));
  for (int i = 0; i < 100; ++i) ca::caput(pv("other"), i);
  return 0;
}

int is_stopped_in_a_put() {
  return MainThread::run([](Signal please_stop) {
    auto in_fiber = cooperative::spawn("fiber", [](Signal stop) {
      try {
        ca::caput(pv("slow.PROC"), 1, {.wait = true}, stop);
      } catch (const mothreads::Stopped& stopped) {
        say(std::string("fiber: ") + stopped.what());
      }
    });
    auto in_thread = mothreads::Thread::run("thread", [](Signal stop) {
      try {
        ca::caput(pv("slower.PROC"), 1, {.wait = true}, stop);
      } catch (const mothreads::Stopped& stopped) {
        say(std::string("thread: ") + stopped.what());
      }
    });
    for (const char* const name : {"slow.DLYA", "slower.DLYA"}) {
      while (ca::caget<int>(pv(name)) == 0) cooperative::yield();
    }
    say("under way");
    please_stop.wait();
    return 0;
  });
}

// The function of a put is told of the end of its scheduler: in a thread, and in the main thread, whose function returns with the put under way.
int ends_in_a_put_with_a_function() {
  const auto put = [](std::string name, std::string_view where) {
    ca::caput(pv(name + ".PROC"), 1, [where](const ca::Reply<void>& reply) {
      say(std::string(where) + ": " + (reply ? "done" : reply.error().what()));
    });
    while (ca::caget<int>(pv(name + ".DLYA")) == 0) cooperative::yield();
  };
  return MainThread::run([&](const Signal&) {
    mothreads::Thread::run("thread", [&](const Signal&) { put("slow", "thread"); }).join();
    put("slower", "main");
    say("under way");
    return 0;
  });
}

int forks() {
  ca::Subscription watch = ca::camonitor(pv("other"));
  static_cast<void>(watch.next().value());
  if (ca::caget<double>(pv("double")) != 3.5) return 1;
  const pid_t child = fork();
  if (child == 0) {
    is_child = true;
    if (watch.next(absl::Seconds(1)).why() != mothreads::Why::closed) std::_Exit(3);
    watch.close();
    if (ca::caget<double>(pv("double")) != 3.5) std::_Exit(4);
    ca::Subscription own = ca::camonitor(pv("double"));
    if (own.next(absl::Seconds(10)).value().as<double>() != 3.5) std::_Exit(5);
    return 0;
  }
  int status = -1;
  waitpid(child, &status, 0);
  say("child ended with " + std::to_string(WEXITSTATUS(status)));
  return ca::caget<double>(pv("double")) == 3.5 ? 0 : 6;
}

}  // namespace

// A child has the memory of the parent's libca, but not the threads that know it.
extern "C" int __lsan_is_turned_off();
extern "C" int __lsan_is_turned_off() { return is_child ? 1 : 0; }

int main(int, char** arguments) {
  const std::string_view what = arguments[1];
  prefix = arguments[2];
  if (what == "exits") return exits_with_all_open();
  if (what == "stops") return is_stopped_in_a_put();
  if (what == "function") return ends_in_a_put_with_a_function();
  if (what == "forks") return forks();
  if (what == "outlives") return ends_after_its_server();
  return 99;
}
