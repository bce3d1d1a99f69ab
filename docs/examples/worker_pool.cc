// The first program of the README.

// [worker_pool]
#include <cstdio>
#include <string>

#include "mothreads/main_thread.h"
#include "mothreads/queue.h"
#include "mothreads/thread.h"
#include "mothreads/thread_group.h"

using mothreads::MainThread, mothreads::Queue, mothreads::Signal, mothreads::Thread, mothreads::ThreadGroup;

int main() {
  return MainThread::run([](Signal please_stop) {           // SIGINT and SIGTERM make please_stop go
    Queue<std::string> todo("todo", {.max = 100});
    ThreadGroup workers("workers");                         // after what its members use: leaving the scope stops and joins them

    for (int i = 0; i < 4; ++i) {
      workers.run("worker", [&todo](Signal please_stop) {   // without please_stop it does not compile, and says so
        while (auto job = todo.pop(please_stop)) std::printf("%s\n", job->c_str());
      });
    }

    auto reader = Thread::run("reader", [&todo](Signal please_stop) {
      int jobs = 0;
      while (jobs < 10 && todo.add("job " + std::to_string(jobs), please_stop)) ++jobs;
      return jobs;
    });
    const int jobs = reader.join();                         // its result, or its exception, of its own type

    todo.close();
    workers.join();                                         // they finish what is queued
    return jobs == 10 || please_stop ? 0 : 1;
  });
}
// [/worker_pool]
