#include "docs/examples/plugins/adder.h"

#include <cstdint>

#include "absl/time/time.h"
#include "cooperative/fiber.h"
#include "cooperative/threaded_event_queue.h"
#include "mothreads/log.h"
#include "mothreads/thread.h"

namespace plugins {
namespace {

void make_numbers(cooperative::ThreadedEventQueue<std::int64_t>& numbers, const mothreads::Signal& please_stop) {
  for (std::int64_t number = 1; !please_stop.wait(absl::Milliseconds(10)); ++number) numbers.signal(number);
  numbers.close();
}

void add() {
  cooperative::ThreadedEventQueue<std::int64_t> numbers;
  std::int64_t sum = 0;
  auto adding = cooperative::spawn("adding", [&](const mothreads::Signal&) {  // to the end of the numbers, also when we are stopped
    for (const std::int64_t number : numbers.until(mothreads::NEVER)) sum += number;
  });
  auto numberer = mothreads::Thread::run("numberer", [&](mothreads::Signal please_stop) { make_numbers(numbers, please_stop); });
  mothreads::log::info("adder: runs");
  adding.join();
  numberer.join();
  mothreads::log::info("adder: stops with the sum {}", sum);
}

}  // namespace

// A stop of this thread stops the numberer, which closes the queue: no please_stop is needed here.
const Plugin kAdder{.name = "adder", .run = [](Settings, mothreads::Signal) { add(); }};

}  // namespace plugins
