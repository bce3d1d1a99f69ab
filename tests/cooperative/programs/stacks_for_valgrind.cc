// Fibers on stacks of their own, for valgrind to look at: they switch to each other, wait, overtake their time, throw, end, and leave
// their stacks to others, with stacks of two sizes.

#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "cooperative/event.h"
#include "cooperative/fiber.h"
#include "cooperative/sleep.h"
#include "cooperative/with_timeout.h"

namespace co = cooperative;

int main() {
  int turns = 0;
  for (int round = 0; round < 3; ++round) {
    std::vector<co::Fiber<void>> fibers;
    for (int i = 0; i < 20; ++i) {
      fibers.push_back(co::spawn({.name = "fiber", .stack_size = i % 2 == 0 ? std::size_t{0} : std::size_t{256} * 1024}, [&turns] {
        volatile char deep[8000] = {};
        for (int turn = 0; turn < 3; ++turn) {
          deep[turn] = 1;
          turns += deep[turn];
          co::yield();
        }
        try {
          throw std::runtime_error("caught");
        } catch (const std::runtime_error&) {
          co::yield();
        }
      }));
    }
    for (co::Fiber<void>& fiber : fibers) fiber.join();
  }
  co::Event<std::string> event;
  auto reader = co::spawn("reader", [&event] { return event.wait(); });
  event.signal("a text that needs an allocation of its own");
  const std::string text = reader.join();
  try {
    co::with_timeout(absl::Milliseconds(1), [] { co::sleep(absl::InfiniteDuration()); });
  } catch (const co::Timedout&) {
    std::printf("%d turns, %s\n", turns, text.c_str());
  }
}
