// What then() functions may do on the library's own threads, "timers" and "signals": every public call works there, or throws Misuse
// that says what to do instead.

#include <signal.h>
#include <unistd.h>

#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/blocking_pool.h"
#include "cooperative/callback_queue.h"
#include "cooperative/errors.h"
#include "cooperative/event.h"
#include "cooperative/event_queue.h"
#include "cooperative/fiber.h"
#include "cooperative/fiber_group.h"
#include "cooperative/foreign_loop.h"
#include "cooperative/handler_callback.h"
#include "cooperative/in_parallel.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/file.h"
#include "cooperative/io/file_watch.h"
#include "cooperative/io/listen.h"
#include "cooperative/io/os_signals.h"
#include "cooperative/io/pipe.h"
#include "cooperative/io/poll.h"
#include "cooperative/io/process.h"
#include "cooperative/io/resolve.h"
#include "cooperative/io/selfishness.h"
#include "cooperative/io/server.h"
#include "cooperative/io/whole_file.h"
#include "cooperative/pulse.h"
#include "cooperative/quit.h"
#include "cooperative/rlock.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "cooperative/stack_use.h"
#include "cooperative/testing/world.h"
#include "cooperative/threaded_event_queue.h"
#include "cooperative/timer.h"
#include "cooperative/wait_for.h"
#include "cooperative/with_timeout.h"
#include "mothreads/clock.h"
#include "mothreads/lock.h"
#include "mothreads/log.h"
#include "mothreads/main_thread.h"
#include "mothreads/misuse.h"
#include "mothreads/queue.h"
#include "mothreads/register_thread.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "mothreads/thread_group.h"
#include "mothreads/till.h"

namespace cooperative::inline v0 {
namespace {

using mothreads::Misuse;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::ThreadGroup;
using mothreads::Till;

struct Call {
  std::string name;
  std::function<void()> make;
};

void never_ends(const Signal& please_stop) { please_stop.wait(); }

// Those that must work.
std::vector<Call> calls_that_work() {
  return {
      {"Thread::current", [] { EXPECT_FALSE(Thread::current().name().empty()); }},
      {"Thread::parent", [] { EXPECT_EQ(Thread::current().parent(), std::nullopt); }},
      {"Thread::children", [] { EXPECT_TRUE(Thread::current().children().empty()); }},
      {"Thread::please_stop", [] { EXPECT_FALSE(Thread::current().please_stop()); }},
      {"Thread::run, release", [] { Thread::run("child", never_ends).release(); }},
      {"ThreadHandle::stop", [] { Thread::run("child", never_ends).stop().release(); }},
      {"an empty ThreadGroup", [] { ThreadGroup("group").stop(); }},
      {"Till", [] { Till(absl::Seconds(1)).then([] {}); }},
      {"a wait that need not wait", [] { EXPECT_FALSE(Signal().wait(absl::ZeroDuration())); }},
      {"Lock",
       [] {
         mothreads::Lock lock("lock");
         const auto held = lock.enter();
       }},
      {"Queue",
       [] {
         mothreads::Queue<int> queue("queue");
         queue.add(1);
         EXPECT_TRUE(queue.pop());
         queue.close();
       }},
      {"log", [] { mothreads::log::info("hello"); }},
      {"log::Extra", [] { const mothreads::log::Extra extra("key", "value"); }},
      {"MainThread::thread", [] { static_cast<void>(mothreads::MainThread::thread()); }},
      {"Clock::current", [] { static_cast<void>(mothreads::Clock::current().now()); }},
      {"current_name", [] { static_cast<void>(current_name()); }},
      {"BlockingPool", [] { BlockingPool("pool").stop(); }},
      {"ThreadedEventQueue", [] { ThreadedEventQueue<int>().signal(1); }},
  };
}

// Those that work, or say why not.
std::vector<Call> other_calls() {
  return {
      {"Signal::wait", [] { Signal().wait(); }},
      {"ThreadHandle::join",
       [] {
         auto child = Thread::run("child", never_ends);
         try {
           child.join();
         } catch (const Misuse&) {
           child.stop().release();
           throw;
         }
       }},
      {"RegisterThread", [] { const mothreads::RegisterThread registered("mine"); }},
      {"MainThread::run", [] { mothreads::MainThread::run([](Signal) {}); }},
      {"wait_for_shutdown_signal", [] { mothreads::wait_for_shutdown_signal(); }},
      {"Queue::pop", [] { static_cast<void>(mothreads::Queue<int>("queue").pop()); }},
      {"spawn", [] { spawn("fiber", [] {}).join(); }},
      {"FiberGroup", [] { FiberGroup("fibers").spawn("fiber", [] {}); }},
      {"sleep", [] { sleep(absl::Milliseconds(1)); }},
      {"yield", [] { yield(); }},
      {"yield_until_idle", [] { yield_until_idle(); }},
      {"Event", [] { Event<int>().signal(1); }},
      {"EventQueue", [] { EventQueue<int>().signal(1); }},
      {"Pulse", [] { Pulse().signal(); }},
      {"RLock", [] { RLock lock; }},
      {"Timer", [] { Timer timer(absl::Seconds(1), [] {}); }},
      {"in_parallel", [] { in_parallel([] {}, [] {}); }},
      {"with_timeout", [] { with_timeout(absl::Seconds(1), [] {}); }},
      {"set_options", [] { Scheduler::current().set_options({.max_fibers = 10}); }},
      {"stack_use", [] { static_cast<void>(stack_use()); }},
      {"Scheduler::current", [] { static_cast<void>(Scheduler::current()); }},
      {"wait_for_quit", [] { wait_for_quit(absl::Milliseconds(1)); }},
      {"BlockingPool::call", [] { BlockingPool("pool").call([] {}); }},
      {"ThreadedEventQueue::wait", [] { ThreadedEventQueue<int>().wait(); }},
      {"listen", [] { listen(Address::loopback(0)); }},
      {"connect", [] { connect(Address::loopback(1), absl::Seconds(1)); }},
      {"resolve", [] { static_cast<void>(resolve("localhost", 1)); }},
      {"make_pipe", [] { static_cast<void>(make_pipe()); }},
      {"File", [] { static_cast<void>(File::open("/dev/null")); }},
      {"read_file", [] { static_cast<void>(read_file("/dev/null", 1)); }},
      {"FileWatch", [] { FileWatch watch("/tmp"); }},
      {"OsSignal", [] { const OsSignal taken(SIGUSR1); }},
      {"Process", [] { Process({"true"}).wait(); }},
      {"poll_list", [] { static_cast<void>(poll_list({}, absl::Milliseconds(1))); }},
      {"serve_tcp", [] { serve_tcp(Address::loopback(0), [](Socket&) {}).stop(); }},
  };
}

void make_all(const std::vector<Call>& calls, bool must_work, std::vector<std::string>& problems) {
  for (const Call& call : calls) {
    try {
      call.make();
    } catch (const Misuse& misuse) {
      const std::string text = misuse.what();
      const bool has_remedy = text.find("let ") != std::string::npos || text.find("call ") != std::string::npos ||
                              text.find("instead") != std::string::npos;
      if (must_work || !has_remedy) problems.push_back(call.name + ": " + text);
    } catch (const std::exception& failure) {
      problems.push_back(call.name + " failed: " + failure.what());
    }
  }
}

std::vector<std::string> make_all_of_them() {
  std::vector<std::string> problems;
  make_all(calls_that_work(), true, problems);
  make_all(other_calls(), false, problems);
  return problems;
}

TEST(LibraryThreadTest, OnTheTimersEveryCallWorksOrSaysWhatToDoInstead) {
  std::vector<std::string> problems;
  std::string name;
  while (name != "timers") {  // one that went before it had its function runs that here
    const Signal tried;
    Till(absl::Milliseconds(2)).then([&] {
      name = Thread::current().name();
      if (name == "timers") problems = make_all_of_them();
      tried.go();
    });
    tried.wait();
  }
  EXPECT_THAT(problems, ::testing::IsEmpty());
  for (const Thread& child : mothreads::MainThread::thread().children()) {
    child.stop();
    child.stopped().wait();
  }
}

TEST(LibraryThreadTest, InAWorldTheTimersRefuseAndAllowTheSame) {
  cooperative::testing::World world;
  std::vector<std::string> problems;
  std::string name;
  std::string parent;
  world.run([&] {
    const Signal started;
    Till(absl::Milliseconds(2)).then([&] {
      name = Thread::current().name();
      problems = make_all_of_them();
      Thread::run("grandchild", [&](const Signal&) {
        parent = Thread::current().parent()->name();
        started.go();
      }).release();
    });
    started.wait();
  });
  EXPECT_EQ(name, "timers");
  EXPECT_EQ(parent, "world");
  EXPECT_THAT(problems, ::testing::IsEmpty());
}

// Last, because after MainThread::run Tills are DONE.
TEST(LibraryThreadTest, OnTheThreadOfSignalsEveryCallWorksOrSaysWhatToDoInstead) {
  std::vector<std::string> problems;
  std::string name;
  const int code = mothreads::MainThread::run([&](const Signal& please_stop) {
    const Signal done;
    please_stop.then([&] {
      name = Thread::current().name();
      problems = make_all_of_them();
      done.go();
    });
    kill(getpid(), SIGINT);
    done.wait();
  });
  EXPECT_EQ(code, 0);
  EXPECT_EQ(name, "signals");
  EXPECT_THAT(problems, ::testing::IsEmpty());
}

TEST(LibraryThreadTest, WhatIsStartedThereBelongsToTheMainThread) {
  const int code = mothreads::MainThread::run([](const Signal&) {
    const Signal started;
    std::optional<Thread> parent;
    Till(absl::Milliseconds(2)).then([&] {
      Thread::run("child", [&](const Signal& please_stop) {
        parent = Thread::current().parent();
        started.go();
        please_stop.wait();
      }).release();
    });
    started.wait();
    EXPECT_EQ(parent, mothreads::MainThread::thread());
  });
  EXPECT_EQ(code, 0);
}

using LibraryThreadDeathTest = ::testing::Test;

TEST(LibraryThreadDeathTest, AHandleThatWouldWaitThereSaysToReleaseIt) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        while (true) {  // as above
          const Signal tried;
          Till(absl::Milliseconds(2)).then([&] {
            if (Thread::current().name() == "timers") static_cast<void>(Thread::run("child", never_ends));
            tried.go();
          });
          tried.wait();
        }
      },
      "the handle of a thread was destroyed where its thread cannot be waited for: .*stopped of child.*release\\(\\)");
}

}  // namespace
}  // namespace cooperative
