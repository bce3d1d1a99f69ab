// A module that shares the library with shared_program.

#include "tests/mothreads/programs/shared_module.h"

#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "mothreads/thread.h"

// On the thread and in the scheduler of the program.
extern "C" void visit(Visit& visit) {
  visit.thread = mothreads::Thread::current();
  visit.scheduler = cooperative::Scheduler::current();
  cooperative::spawn("of the module", [&visit] {
    visit.fiber_of_module_ran = true;
    visit.arrived.go();
  }).release();
  visit.arrived.wait();
  throw cooperative::WasCancelled("by the module");
}
