// Programs that are started with signals ignored or blocked, for signals_test: the arguments say how, the last what then.

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "mothreads/main_thread.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "tests/support/forked.h"

namespace {

using mothreads::MainThread;
using mothreads::Signal;
using mothreads::Thread;
using mothreads::testing::say;

// As inherited over exec(), so before anything of the library.
void inherit(std::string_view how) {
  sigset_t both;
  sigemptyset(&both);
  sigaddset(&both, SIGINT);
  sigaddset(&both, SIGTERM);
  if (how == "blocked" || how == "SIGTERM pending") sigprocmask(SIG_BLOCK, &both, nullptr);
  if (how == "SIGTERM pending") kill(getpid(), SIGTERM);  // to the process, as others send it
  if (how == "SIGINT ignored") signal(SIGINT, SIG_IGN);
  if (how == "SIGTERM ignored") signal(SIGTERM, SIG_IGN);
}

bool is_blocked(int number) {
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  return sigismember(&mask, number) != 0;
}

// The program stays in order while nobody sends a signal that it takes.
int waits(const Signal& please_stop) {
  say("waiting");
  please_stop.wait();
  say("stopped by " + std::string(sigabbrev_np(MainThread::stop_signal())));
  return 0;
}

int says_masks_of_threads_from_then_functions() {
  mothreads::testing::call_on_timer_thread([] {
    Thread::run({.name = "from then()", .parent = MainThread::thread()}, [](Signal) {
      say(is_blocked(SIGUSR1) || is_blocked(SIGTERM) ? "blocked" : "not blocked");
    }).release();
  });
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) return 99;
  inherit(arguments[1]);
  const std::string_view what = arguments[2];
  if (what == "run") return MainThread::run(waits);
  if (what == "masks") return says_masks_of_threads_from_then_functions();
  if (what == "run twice") {
    MainThread::run([](Signal) {});
    struct sigaction now {};
    sigaction(SIGINT, nullptr, &now);
    say(now.sa_handler == SIG_IGN ? "SIGINT is ignored" : "SIGINT is not ignored");
    return MainThread::run(waits);
  }
  return 99;
}
