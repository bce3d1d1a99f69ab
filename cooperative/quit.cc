#include "cooperative/quit.h"

#include "cooperative/internal/wait/home.h"
#include "mothreads/ended.h"
#include "mothreads/main_thread.h"
#include "mothreads/signal.h"

namespace cooperative::inline v0 {

using mothreads::Ended;
using mothreads::MainThread;
using mothreads::Why;

void quit() { MainThread::stop(); }

void wait_for_quit(const mothreads::Until& until) {
  MainThread::take_signals();
  const Ended ended = MainThread::please_stop().wait(until);
  if (!ended) internal::throw_wait_ended("quit", ended.why());
}

}  // namespace cooperative
