// Programs that use the library before main(), after it, and while a thread ends, for static_life_test: STATIC_LIFE says which, since it is
// known before main().

#include <pthread.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <thread>

#include "absl/time/time.h"
#include "cooperative/blocking_pool.h"
#include "cooperative/callback_queue.h"
#include "cooperative/event.h"
#include "cooperative/event_queue.h"
#include "cooperative/fiber.h"
#include "cooperative/fiber_group.h"
#include "cooperative/foreign_loop.h"
#include "cooperative/handler_callback.h"
#include "cooperative/io/connect.h"
#include "cooperative/io/file.h"
#include "cooperative/io/file_watch.h"
#include "cooperative/io/os_signals.h"
#include "cooperative/io/pipe.h"
#include "cooperative/io/process.h"
#include "cooperative/io/server.h"
#include "cooperative/io/socket.h"
#include "cooperative/pulse.h"
#include "cooperative/rlock.h"
#include "cooperative/scheduler.h"
#include "cooperative/sleep.h"
#include "cooperative/threaded_event_queue.h"
#include "cooperative/timer.h"
#include "mothreads/lock.h"
#include "mothreads/log.h"
#include "mothreads/main_thread.h"
#include "mothreads/misuse.h"
#include "mothreads/queue.h"
#include "mothreads/signal.h"
#include "mothreads/stopping.h"
#include "mothreads/thread.h"
#include "mothreads/thread_group.h"
#include "mothreads/till.h"
#include "tests/support/forked.h"

namespace {

namespace co = cooperative;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::testing::say;

bool is_asked_for(const char* scenario);

// Made before main(), in this order, and destroyed after it.
struct Statics {
  Signal signal{"static signal"};
  mothreads::Till till{absl::Hours(1)};
  mothreads::Lock lock{"static lock"};
  mothreads::Queue<int> queue{"static queue"};
  mothreads::ThreadGroup group{"static group"};
  mothreads::ThreadHandle<void> thread = Thread::run("static thread", [](Signal please_stop) { please_stop.wait(); });

  co::Event<int> event;
  co::EventQueue<int> events;
  co::ThreadedEventQueue<int> threaded_events;
  co::RLock rlock;
  co::Pulse pulse;
  co::Timer timer{absl::Hours(1), [] {}};
  co::FiberGroup fibers{"static fibers"};
  co::Fiber<int> fiber = co::spawn("static fiber", [this] { return event.wait(); });
  co::Fiber<void> failed = co::spawn("failed fiber", [] {});
  co::Scheduler scheduler = co::Scheduler::current();
  co::CallbackQueue callbacks{scheduler, {.name = "static callbacks"}};
  co::HandlerCallback callback{scheduler, [] {}};
  co::BlockingPool pool{"static pool"};
  co::ForeignLoop loop;

  co::PipeEnds pipe = co::make_pipe();
  co::Server server = co::serve_tcp(co::Address::loopback(0), [](co::Socket& client) { client.write_all(std::string_view("served\n")); });
  co::Socket visitor = co::connect(server.address());
  co::Process process{{"cat"}, {.input = co::Redirect::pipe(), .output = co::Redirect::pipe()}};
  co::FileWatch watch;
  co::OsSignal usr1{SIGUSR1};
};
Statics* made = nullptr;
struct MakeStatics {
  MakeStatics() {
    if (!is_asked_for("statics")) return;
    mothreads::set_stop_deadline(absl::Hours(1));  // waited for, the test would hang
    made = new Statics;
    made->pool.call([] {});
    made->fibers.spawn("member", [](Signal please_stop) { please_stop.wait(); });
    say("used before main()");
  }
  ~MakeStatics() {
    if (made == nullptr) return;
    delete made;
    say("gone after main()");
  }
};
MakeStatics make_statics;

int uses_statics() {
  made->event.signal(3);
  if (made->fiber.join() == 3) say("used in main()");
  made->fiber = co::spawn("lives on", [] { return made->event.wait(); });
  say(*made->visitor.read_line());
  return 0;
}

// --- after main() ----------------------------------------------------------------------------------------------------------------

void try_to(const char* what, const std::function<void()>& act) {
  try {
    act();
    say(std::string(what) + ": done");
  } catch (const mothreads::Misuse& misuse) {
    say(std::string(what) + ": " + misuse.what());
  }
}

void use_after_main() {
  mothreads::log::info("after main()");
  try_to("a signal", [] { Signal().go(); });
  try_to("a till", [] { mothreads::Till(absl::Hours(1)).wait(); });  // done by then
  try_to("a thread", [] { Thread::run("late thread", [](Signal) {}).join(); });
  try_to("a fiber", [] { co::spawn("late fiber", [] {}).join(); });
  try_to("a group", [] { mothreads::ThreadGroup group("late group"); });
}

// Made before the library has anything to do at exit().
struct UsesAfterMain {
  UsesAfterMain() {
    if (is_asked_for("after main")) std::atexit(use_after_main);
  }
};
UsesAfterMain uses_after_main;

int starts_threads_and_fibers() {
  co::spawn("fiber", [] { co::yield(); }).join();
  Thread::run("thread", [](Signal) {}).join();
  return 0;
}

// Destroyed after the scheduler, whose handles it has.
struct KeepsAFiber {
  co::Fiber<void> fiber;
  ~KeepsAFiber() {
    if (!fiber.owns()) return;
    try_to("a join after main()", [this] { fiber.join(); });
  }
};
KeepsAFiber keeps_a_fiber;

int keeps_a_static_fiber() {
  keeps_a_fiber.fiber = co::spawn("kept", [](Signal please_stop) { please_stop.wait(); });
  return 0;
}

// --- while a thread ends -------------------------------------------------------------------------------------------------------------

struct Cache {
  const char* name;
  bool used = false;
  ~Cache() {
    if (!used) return;
    co::spawn("flush", [] { co::yield(); }).join();
    say(std::string(name) + " has been flushed");
  }
};
thread_local Cache older{"the older cache"};
thread_local Cache younger{"the younger cache"};

int uses_fibers_in_thread_local_destructors() {
  mothreads::set_stop_deadline(absl::Hours(1));
  const auto act = [] {
    older.used = true;
    co::spawn("f", [] {}).join();
    younger.used = true;
  };
  Thread::run("worker", [&](Signal) { act(); }).join();
  say("the worker has ended");
  std::thread(act).join();
  say("the unknown thread has ended");
  act();
  return 0;
}

pthread_key_t older_key;
pthread_key_t younger_key;

int uses_fibers_in_the_functions_of_keys() {
  mothreads::set_stop_deadline(absl::Hours(1));
  const auto flush = [](void* name) {
    co::spawn("flush", [] { co::yield(); }).join();
    say(std::string(static_cast<const char*>(name)) + " key has flushed");
  };
  pthread_key_create(&older_key, flush);
  mothreads::log::info("the library has its keys");
  mothreads::log::flush();  // its line would come in between
  std::thread([] { co::spawn("f", [] {}).join(); }).join();
  pthread_key_create(&younger_key, flush);
  const auto act = [] {
    static char names[2][8] = {"older", "younger"};
    pthread_setspecific(older_key, names[0]);
    pthread_setspecific(younger_key, names[1]);
    co::spawn("f", [] {}).join();
  };
  Thread::run("worker", [&](Signal) { act(); }).join();
  std::thread(act).join();
  return 0;
}

// Again and again: some time the C library calls no more.
int uses_fibers_in_the_last_function_of_a_key() {
  mothreads::set_stop_deadline(absl::Hours(1));
  std::thread([] { co::spawn("f", [] {}).join(); }).join();  // the library's own key is older
  pthread_key_create(&younger_key, [](void* value) {
    try_to("a fiber", [] { co::spawn("flush", [] {}).join(); });
    pthread_setspecific(younger_key, value);
  });
  std::thread([] {
    co::spawn("f", [] {}).join();
    pthread_setspecific(younger_key, &younger_key);
  }).join();
  return 0;
}

// --- pthread_exit() -----------------------------------------------------------------------------------------------------------------

struct SaysItsEnd {
  ~SaysItsEnd() { say("unwound"); }
};

template <typename F>
void say_failure(F&& act) {
  try {
    act();
  } catch (const std::exception& error) {
    say(error.what());
  }
}

int calls_pthread_exit_in_a_fiber() {
  say_failure([] {
    Thread::run("t", [](Signal) {
      auto other = co::spawn("other", [] { co::sleep(absl::Milliseconds(1)); });
      say_failure([] {
        co::spawn("f", [] {
          const SaysItsEnd end;
          pthread_exit(nullptr);
        }).join();
      });
      other.join();
      say("the thread goes on");
    }).join();
  });
  say_failure([] { co::spawn("of main", [] { pthread_exit(nullptr); }).join(); });
  co::Scheduler::current().callback([] { pthread_exit(nullptr); });
  co::sleep(absl::Milliseconds(1));
  co::Timer timer(absl::ZeroDuration(), [] { pthread_exit(nullptr); });
  co::sleep(absl::Milliseconds(1));
  say("main goes on");
  mothreads::log::flush();
  _exit(0);  // the failures of the last two, which nobody joined, would show in the exit code
}

int cancels_a_thread_in_a_fiber() {
  say_failure([] {
    Thread::run("t", [](Signal) {
      pthread_cancel(pthread_self());
      co::spawn("f", [] { pthread_testcancel(); }).join();
    }).join();
  });
  return 0;
}

const std::map<std::string_view, int (*)()>& scenarios() {
  static const auto& all = *new std::map<std::string_view, int (*)()>{
      {"statics", uses_statics},
      {"after main", starts_threads_and_fibers},
      {"static fiber", keeps_a_static_fiber},
      {"thread_local", uses_fibers_in_thread_local_destructors},
      {"keys", uses_fibers_in_the_functions_of_keys},
      {"last key", uses_fibers_in_the_last_function_of_a_key},
      {"pthread_exit", calls_pthread_exit_in_a_fiber},
      {"pthread_cancel", cancels_a_thread_in_a_fiber},
  };
  return all;
}

// Known before main().
bool is_asked_for(const char* scenario) {
  const char* const asked = std::getenv("STATIC_LIFE");
  return asked != nullptr && std::string_view(asked) == scenario;
}

}  // namespace

int main() {
  const char* const asked = std::getenv("STATIC_LIFE");
  const auto found = scenarios().find(asked == nullptr ? "" : asked);
  if (found == scenarios().end()) {
    say("no such scenario");
    return 99;
  }
  return found->second();
}
