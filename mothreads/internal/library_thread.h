#pragma once

// How the library starts the threads that serve it.

#include <pthread.h>
#include <signal.h>

#include <string>
#include <system_error>
#include <thread>
#include <utility>

namespace mothreads::inline v0::internal {

// On a thread of the library: the signals that its maker had blocked. What the program starts there is to have that mask, not the thread's
// own. Null on all other threads.
inline constinit thread_local const sigset_t* makers_mask = nullptr;

// A thread in which no signal handler runs: those are for the program's own threads. `name` has at most 15 bytes. Throws
// std::system_error, naming the thread, when the system refuses one.
template <typename F>
std::thread start_without_signals(const char* name, F&& function) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // a new thread inherits the mask of its maker
  struct Restore {
    const sigset_t& mask;
    ~Restore() { pthread_sigmask(SIG_SETMASK, &mask, nullptr); }
  } restore{before};
  try {
    return std::thread([name, mask = makers_mask != nullptr ? *makers_mask : before, f = std::forward<F>(function)]() mutable {
      makers_mask = &mask;
      pthread_setname_np(pthread_self(), name);
      f();
    });
  } catch (const std::system_error& refused) {
    throw std::system_error(refused.code(), std::string("cannot start the library's thread \"") + name + "\"");
  }
}

}  // namespace mothreads::internal
