// Programs for edges_test: a process that forks during its first use of Channel Access, and a thread with a context of libca's own. Its arguments: what it
// does, and the prefix of the server.

#include <cadef.h>
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "catools/caget.h"
#include "catools/camonitor.h"
#include "catools/connect.h"
#include "mothreads/misuse.h"

namespace ca = catools;

namespace {

std::string prefix;
std::string pv(std::string_view name) { return prefix + std::string(name); }

constexpr int kYields = 100'000;

bool awaits_fork = false;
bool is_child = false;
std::atomic<bool> is_inside{false};
std::atomic<bool> is_forking{false};

// The other thread is in the middle of the first use when fork() is called: the child must not begin there.
int forks_during_the_first_use() {
  awaits_fork = true;
  // The last that is registered is the first to be called.
  pthread_atfork([] { is_forking = true; }, nullptr, nullptr);
  std::thread first([] { static_cast<void>(ca::caget(pv("double"))); });
  while (!is_inside) sched_yield();
  const pid_t child = fork();
  if (child == 0) {
    is_child = true;
    std::_Exit(is_inside ? 3 : 0);
  }
  first.join();
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}

// A context without preemptive callbacks cannot be given back by libca: its thread keeps it.
int keeps_its_context() {
  std::optional<ca::Subscription> watch;
  const auto refused = [](auto verb) {
    try {
      verb();
    } catch (const mothreads::Misuse& misuse) {
      return std::string_view(misuse.what()).find("ca_enable_preemptive_callback") != std::string_view::npos;
    }
    return false;
  };
  for (const bool is_used_before : {false, true}) {
    if (is_used_before) {
      std::thread([&] {
        watch.emplace(ca::camonitor(pv("double")));
        static_cast<void>(watch->next().value());
      }).join();
    }
    int result = 0;
    std::thread([&] {
      if (ca_context_create(ca_disable_preemptive_callback) != ECA_NORMAL) result = 3;
      ca_client_context* const own = ca_current_context();
      if (!refused([] { static_cast<void>(ca::caget(pv("double"))); })) result = 4;
      if (!refused([] { static_cast<void>(ca::camonitor(pv("double"))); })) result = 5;
      watch.reset();
      if (is_used_before) static_cast<void>(ca::channels());
      if (ca_current_context() != own) result = 6;
      ca_context_destroy();
    }).join();
    if (result != 0) return result;
  }
  // With preemptive callbacks it is given back.
  ca_context_create(ca_enable_preemptive_callback);
  ca_client_context* const own = ca_current_context();
  if (ca::caget<double>(pv("double")) != 3.5) return 7;
  if (ca_current_context() != own) return 8;
  ca_context_destroy();
  return ca::caget<double>(pv("double")) == 3.5 ? 0 : 9;
}

}  // namespace

// In the place of libca's.
extern "C" int ca_context_create(ca_preemptive_callback_select select) {
  using Create = int (*)(ca_preemptive_callback_select);
  static const auto create = reinterpret_cast<Create>(dlsym(RTLD_NEXT, "ca_context_create"));
  if (!awaits_fork || is_child) return create(select);
  is_inside = true;
  while (!is_forking) sched_yield();
  for (int i = 0; i < kYields; ++i) sched_yield();  // fork() returns meanwhile if nothing stops it
  const int status = create(select);
  is_inside = false;
  return status;
}

// A child has the memory of the parent's libca, but not the threads that know it.
extern "C" int __lsan_is_turned_off();
extern "C" int __lsan_is_turned_off() { return is_child ? 1 : 0; }

int main(int, char** arguments) {
  const std::string_view what = arguments[1];
  prefix = arguments[2];
  if (what == "forks") return forks_during_the_first_use();
  if (what == "keeps") return keeps_its_context();
  return 99;
}
