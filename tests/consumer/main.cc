#include "mothreads/thread.h"

int main() {
  auto worker = mothreads::Thread::run("worker", [](mothreads::Signal) { return 42; });
  return worker.join() == 42 ? 0 : 1;
}
