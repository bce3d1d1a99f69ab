// Programs that fork, for fork_test: the first argument says which.

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "mothreads/drain_hold.h"
#include "mothreads/foreign_thread.h"
#include "mothreads/internal/wait/thread_context.h"
#include "mothreads/lock.h"
#include "mothreads/log.h"
#include "mothreads/main_thread.h"
#include "mothreads/member.h"
#include "mothreads/misuse.h"
#include "mothreads/queue.h"
#include "mothreads/register_thread.h"
#include "mothreads/signal.h"
#include "mothreads/stopping.h"
#include "mothreads/thread.h"
#include "mothreads/thread_group.h"
#include "mothreads/till.h"
#include "tests/support/forked.h"
#include "tests/support/sleeping.h"

namespace {

using mothreads::MainThread;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::Till;
using mothreads::testing::fork_and;
using mothreads::testing::limit_child;
using mothreads::testing::say;
using mothreads::testing::say_end_of;

void until_stopped(const Signal& please_stop) { please_stop.wait(); }

// Everything that has a thread of the library's, or of its own.
void use_the_library(const char* who) {
  mothreads::log::info("{} logs", who);
  mothreads::log::flush();
  Till(absl::Microseconds(100)).wait();
  Signal fired;
  Till(absl::Microseconds(100)).then([fired] { fired.go(); });
  fired.wait();
  mothreads::Queue<int> queue("queue");
  auto adder = Thread::run("adder", [&](Signal) { queue.add(7); });
  if (*queue.pop() != 7) say("the queue has lost something");
  adder.join();
  mothreads::ThreadGroup group("group");
  group.run("member", until_stopped);
}

int logs_and_runs_a_service_in_the_child() {
  mothreads::log::info("starting");
  mothreads::log::flush();
  say_end_of(fork_and([] {
    return MainThread::run([](Signal) {
      mothreads::log::info("in the child");
      return 0;
    });
  }));
  return 0;
}

int flushes_in_the_child() {
  mothreads::log::info("starting");
  mothreads::log::flush();
  const pid_t child = fork();
  if (child == 0) {
    limit_child();
    mothreads::log::info("in the child");
    mothreads::log::flush();
    _exit(0);
  }
  say_end_of(child);
  return 0;
}

int waits_for_a_till_in_the_child() {
  Till pending(absl::Hours(1));
  say_end_of(fork_and([] {
    return MainThread::run([](Signal) {
      Till(absl::Milliseconds(1)).wait();
      say("the till has gone");
    });
  }));
  return 0;
}

int has_handles_that_go_out_of_scope_in_the_child() {
  mothreads::set_stop_deadline(absl::Hours(1));  // waited for, the test would hang
  auto thread = Thread::run("thread", until_stopped);
  auto other = Thread::run("other", until_stopped);
  mothreads::ThreadGroup group("group");
  group.run("member", until_stopped);
  const pid_t child = fork();
  if (child == 0) {
    limit_child();
    say(thread.is_alive() ? "alive" : "not alive");
    try {
      thread.join();
    } catch (const mothreads::Misuse& misuse) {
      say(misuse.what());
    }
    other.stop();
    other.release();
    return 0;
  }
  say_end_of(child);
  say(thread.is_alive() ? "alive" : "not alive");
  return 0;
}

int throws_in_the_child_past_its_handles() {
  try {
    auto thread = Thread::run("thread", until_stopped);
    if (const pid_t child = fork(); child != 0) {
      say_end_of(child);
      return 0;
    }
    limit_child();
    throw std::runtime_error("in the child");
  } catch (const std::runtime_error& error) {
    say(error.what());
    return 5;
  }
}

int forks_in_a_thread() {
  auto worker = Thread::run("worker", [](Signal) {
    const pid_t child = fork();
    if (child == 0) {
      limit_child();
      say(Thread::current().name() + " has " + std::to_string(Thread::current().children().size()) + " children");
      Thread::run("grandchild", [](Signal please_stop) {
        please_stop.wait();
        say("told to stop");
      }).release();
      return;
    }
    say_end_of(child);
  });
  worker.join();
  return 0;
}

int forks_in_a_thread_that_throws() {
  auto worker = Thread::run("worker", [](Signal) {
    const pid_t child = fork();
    if (child == 0) {
      limit_child();
      throw std::runtime_error("no bread");
    }
    say_end_of(child);
  });
  worker.join();
  return 0;
}

int forks_in_an_unknown_thread() {
  std::thread([] {
    mothreads::log::info("known to the log");
    say_end_of(fork_and([] {
      use_the_library("the child");
      return MainThread::run([](Signal) { return 3; });
    }));
  }).join();
  return 0;
}

void say_foreign_threads(const char* who) {
  std::string text = who;
  for (const auto& thread : mothreads::internal::ThreadContext::foreign_threads()) text += " \"" + thread.name + "\"";
  say(text);
}

// The child has neither the scope of the thread that forks nor that of another. Both processes leave it.
int forks_in_the_scope_of_a_foreign_thread() {
  const Signal other_is_inside;
  const Signal may_end;
  std::thread other([&] {
    const mothreads::ForeignThread here("audio driver");
    other_is_inside.go();
    may_end.wait();
  });
  other_is_inside.wait();
  pid_t child = 0;
  std::thread([&] {
    {
      const mothreads::ForeignThread here("camera driver");
      child = fork();
      if (child == 0) limit_child();
      if (child == 0) say_foreign_threads("child:");
      const mothreads::ForeignThread inner("nested");
      if (child == 0) mothreads::log::info("in the scope");
      if (child == 0) say_foreign_threads("child, in another scope:");
    }
    if (child != 0) return;
    mothreads::log::info("behind the scope");
    std::thread([] {
      const mothreads::ForeignThread here("the child's driver");
      say_foreign_threads("child, another thread:");
    }).join();
    use_the_library("the child");
    std::exit(3);
  }).join();
  say_end_of(child);
  say_foreign_threads("parent:");
  may_end.go();
  other.join();
  say_foreign_threads("parent:");
  return 0;
}

int forks_in_a_then_function() {
  pid_t child = 0;
  mothreads::testing::call_on_timer_thread([&] {
    child = fork();
    if (child != 0) return;
    limit_child();
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    say(sigismember(&mask, SIGTERM) != 0 ? "SIGTERM is blocked" : "SIGTERM is not blocked");
    use_the_library("the child");
  });
  say_end_of(child);
  return 0;
}

int forks_in_a_sink() {
  std::atomic<pid_t> child{0};
  mothreads::log::set_sink([&](const mothreads::log::Line& line) {
    if (line.text != "fork") return;
    child = fork();
    if (child != 0) return;
    limit_child();
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    say(sigismember(&mask, SIGTERM) != 0 ? "SIGTERM is blocked" : "SIGTERM is not blocked");
    use_the_library("the child");
  });
  mothreads::log::info("fork");
  mothreads::log::info("written by the parent alone");
  mothreads::log::flush();
  mothreads::log::set_sink({});
  say_end_of(child);
  return 0;
}

// The child returns past a queue that a thread of the parent waits on.
int leaves_a_queue_that_is_waited_on() {
  mothreads::Queue<int> queue("queue");
  auto thread = Thread::run("thread", [&queue](Signal please_stop) { static_cast<void>(queue.pop(please_stop)); });
  mothreads::testing::await_sleeping(thread.thread(), "queue");
  const pid_t child = fork();
  if (child == 0) {
    limit_child();
    return 0;
  }
  say_end_of(child);
  return 0;
}

int forks_inside_run() {
  return MainThread::run([](Signal please_stop) {
    const pid_t child = fork();
    if (child == 0) {
      limit_child();
      auto thread = Thread::run("thread", until_stopped);
      thread.release();
      return 4;
    }
    say_end_of(child);
    say(please_stop ? "told to stop" : "not told to stop");
    return 0;
  });
}

// A child that is stopped by SIGTERM like any service, and a parent that does not hear of it.
int stops_its_child_by_sigterm() {
  return MainThread::run([](Signal please_stop) {
    int ready[2];
    if (pipe(ready) != 0) return 1;
    const pid_t child = fork_and([&] {
      return MainThread::run([&](const Signal& stop_child) {
        [[maybe_unused]] const ssize_t written = write(ready[1], "r", 1);
        stop_child.wait();
        say("the child stops");
        return 6;
      });
    });
    char byte = 0;
    if (read(ready[0], &byte, 1) != 1) return 1;
    kill(child, SIGTERM);
    say_end_of(child);
    say(please_stop ? "told to stop" : "not told to stop");
    return 0;
  });
}

int has_a_grandchild() {
  use_the_library("the parent");
  say_end_of(fork_and([] {
    use_the_library("the child");
    say_end_of(fork_and([] {
      use_the_library("the grandchild");
      return 2;
    }));
    use_the_library("the child again");
    return 1;
  }));
  use_the_library("the parent again");
  return 0;
}

int runs_another_program() {
  auto thread = Thread::run("thread", until_stopped);
  const pid_t child = fork();
  if (child == 0) {
    execl("/bin/sh", "sh", "-c", "echo executed; exit 9", nullptr);
    _exit(1);
  }
  say_end_of(child);
  return 0;
}

// Whatever another thread is at, no mutex of the library stays locked in a child.
int forks_while_others_are_busy() {
  mothreads::log::set_sink([](const mothreads::log::Line&) {});
  std::atomic<int> turns{0};
  const auto busy = [&turns](auto&& act) {
    return [&turns, act](const Signal& please_stop) {
      while (!please_stop) {
        act();
        ++turns;
      }
    };
  };
  std::vector<mothreads::ThreadHandle<void>> others;
  others.push_back(Thread::run("logs", busy([] { mothreads::log::info("busy"); })));
  others.push_back(Thread::run("makes Tills", busy([] { const Till till(absl::Hours(1)); })));
  others.push_back(Thread::run("starts threads", busy([] { Thread::run("short", [](Signal) {}).join(); })));
  while (turns < 10) std::this_thread::yield();
  constexpr int kChildren = 40;
  int good = 0;
  for (int i = 0; i < kChildren; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      limit_child();
      use_the_library("a child");
      _exit(0);
    }
    if (mothreads::testing::end_of(child) == "exit 0") ++good;
  }
  for (auto& other : others) other.stop().join();
  mothreads::log::set_sink({});
  say(std::to_string(good) + " of " + std::to_string(kChildren) + " children were good");
  return 0;
}

// The parent's holds are not the child's, nor is the parent's drain.
int has_a_drain_of_its_own_in_the_child() {
  std::optional<mothreads::DrainHold> of_parent("of the parent");
  mothreads::DrainHold another_of_parent("another of the parent");
  say_end_of(fork_and([&] {
    return MainThread::run(
        [&](const Signal& please_stop) {
          {
            mothreads::DrainHold own("of the child");
            of_parent.reset();
            MainThread::drain();
            say(MainThread::draining() ? "draining" : "not draining");
            say(please_stop ? "told to stop" : "not told to stop");
          }
          please_stop.wait();
          say("told to stop");
          return 0;
        },
        {.drain = absl::Hours(1)});
  }));
  say(MainThread::draining() ? "draining" : "not draining");
  return 0;
}

// What the function had, destroyed at its end, and a function of `stopped`.
int forks_in_functions_of_a_threads_end() {
  std::shared_ptr<void> at_end(nullptr, [](void*) { mothreads::testing::fork_and_say(); });
  Thread::run("drops", [at_end = std::move(at_end)](Signal) {}).join();
  Signal begin;
  auto thread = Thread::run("stops", [begin](Signal) { begin.wait(); });
  thread.stopped().then([] { mothreads::testing::fork_and_say(); });
  begin.go();
  thread.join();
  say("the parent goes on");
  return 0;
}

int keeps_a_stop_deadline_to_itself() {
  mothreads::set_stop_deadline(absl::Milliseconds(1));
  Signal end;
  auto slow = Thread::run("slow", [end](Signal) { end.wait(); });
  mothreads::set_stop_deadline(absl::Seconds(10));
  slow.stop();  // its deadline is pending
  say_end_of(fork_and([] {
    mothreads::set_stop_deadline(absl::Milliseconds(1));
    Signal never;
    auto stuck = Thread::run("stuck", [never](Signal) { never.wait(); });
    stuck.stop().join();
    return 0;
  }));
  end.go();
  slow.join();
  return 0;
}

// The thread that forks is inside: of one lock that nobody waits for, and of one for which a thread of the parent does.
int tells_the_owner_of_a_lock_in_the_child() {
  auto thread = Thread::run("worker", [](const Signal&) {
    mothreads::Lock table("table");
    mothreads::Lock shelf("shelf");
    const mothreads::Lock::Held held = table.enter();
    std::optional<mothreads::Lock::Held> held_too(shelf);
    auto waits = Thread::run("waits in the parent", [&](const Signal&) { const mothreads::Lock::Held inside = shelf.enter(); });
    mothreads::testing::await_sleeping(waits.thread(), "enters lock shelf");
    say_end_of(fork_and([&] {
      for (mothreads::Lock* lock : {&table, &shelf}) {
        const auto enter = [lock](const Signal&) { const mothreads::Lock::Held inside = lock->enter(); };
        auto* const waiter = new mothreads::ThreadHandle<void>(Thread::run("waiter", enter));
        mothreads::testing::await_sleeping(waiter->thread(), "enters lock");
        say(lock->name() + ": " + mothreads::Member(*waiter).waits_on()->owner);
      }
      std::_Exit(0);
      return 0;
    }));
    held_too.reset();
  });
  thread.join();
  return 0;
}

const std::map<std::string_view, std::function<int()>>& scenarios() {
  static const auto& all = *new std::map<std::string_view, std::function<int()>>{
      {"service", logs_and_runs_a_service_in_the_child},
      {"flush", flushes_in_the_child},
      {"till", waits_for_a_till_in_the_child},
      {"handles", has_handles_that_go_out_of_scope_in_the_child},
      {"throws", throws_in_the_child_past_its_handles},
      {"thread", forks_in_a_thread},
      {"thread throws", forks_in_a_thread_that_throws},
      {"unknown thread", forks_in_an_unknown_thread},
      {"foreign thread", forks_in_the_scope_of_a_foreign_thread},
      {"then", forks_in_a_then_function},
      {"sink", forks_in_a_sink},
      {"queue", leaves_a_queue_that_is_waited_on},
      {"inside run", forks_inside_run},
      {"SIGTERM", stops_its_child_by_sigterm},
      {"grandchild", has_a_grandchild},
      {"exec", runs_another_program},
      {"busy", forks_while_others_are_busy},
      {"deadline", keeps_a_stop_deadline_to_itself},
      {"drain", has_a_drain_of_its_own_in_the_child},
      {"thread's end", forks_in_functions_of_a_threads_end},
      {"lock's owner", tells_the_owner_of_a_lock_in_the_child},
  };
  return all;
}

}  // namespace

int main(int count, char** arguments) {
  const auto found = scenarios().find(count == 2 ? arguments[1] : "");
  if (found == scenarios().end()) {
    say("no such scenario");
    return 99;
  }
  return found->second();
}
