// For one_copy_test: a program with the shared object loads a module with it, and says what is shared.

#include <dlfcn.h>

#include <cstdio>
#include <string>

#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "mothreads/main_thread.h"
#include "mothreads/thread.h"
#include "tests/mothreads/programs/shared_module.h"

namespace {

bool expect(bool holds, const char* what) {
  if (!holds) std::fprintf(stderr, "not shared: %s\n", what);
  return holds;
}

bool is_shared(VisitFunction* visit_module) {
  Visit visit;
  cooperative::spawn("of the program", [&visit] { visit.fiber_of_program_ran = true; }).release();
  bool caught = false;
  try {
    visit_module(visit);
  } catch (const cooperative::WasCancelled&) {
    caught = true;
  }
  return expect(visit.thread == mothreads::Member(mothreads::Thread::current()), "the thread") &&
         expect(visit.scheduler.has_value() && visit.scheduler->is_current(), "the scheduler") &&
         expect(static_cast<bool>(visit.arrived), "a signal") && expect(visit.fiber_of_program_ran, "the program's fibers") &&
         expect(visit.fiber_of_module_ran, "the module's fibers") && expect(caught, "the type of an exception");
}

}  // namespace

int main(int, char** argv) {
  return mothreads::MainThread::run([&](mothreads::Signal) {
    void* const module = ::dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    void* const function = module == nullptr ? nullptr : ::dlsym(module, "visit");
    if (function == nullptr) {
      std::fprintf(stderr, "%s\n", ::dlerror());
      return 1;
    }
    if (!is_shared(reinterpret_cast<VisitFunction*>(function))) return 1;
    ::dlclose(module);
    std::printf("all is shared; %s\n", ::dlopen(argv[1], RTLD_NOW | RTLD_NOLOAD) == nullptr ? "unloaded" : "still loaded");
    return 0;
  });
}
