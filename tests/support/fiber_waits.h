#pragma once

// Fibers that wait, for the tests of all that fibers wait for.

#include <exception>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "cooperative/errors.h"
#include "cooperative/fiber.h"
#include "cooperative/sleep.h"
#include "mothreads/signal.h"
#include "mothreads/until.h"
#include "tests/support/exceptions.h"

namespace cooperative::inline v0::testing {

// Who calls wait() once, and puts down its name and how that ended: with the value, if there is one, or by an exception.
template <typename Source, typename... Limit>
Fiber<void> waiter_of(Source& source, std::vector<std::string>& ends, std::string name, Limit... limit) {
  return spawn(name, [&source, &ends, name, limit...] {
    try {
      if constexpr (std::is_void_v<decltype(source.wait(limit...))>) {
        source.wait(limit...);
        ends.push_back(name);
      } else {
        ends.push_back(name + ": " + std::to_string(source.wait(limit...)));
      }
    } catch (const std::exception& error) {
      ends.push_back(name + ": " + error.what());
    }
  });
}

// Whether an event holds nothing to take.
template <typename E>
bool has_none(E& event) {
  return mothreads::testing::what_of<Timedout>([&] { event.wait(absl::ZeroDuration()); }) == "Timed out waiting for event";
}

// All that is in a queue of events, without a wait for more.
template <typename Queue>
auto drained(Queue& queue) {
  std::vector<decltype(queue.wait())> values;
  while (!queue.empty()) values.push_back(queue.wait());
  return values;
}

// A function for a fiber that puts down its name when the fiber is told to stop.
inline auto says_its_name(std::vector<std::string>& names, const char* name) {
  return [&names, name](const mothreads::Signal& please_stop) {
    please_stop.wait();
    names.push_back(name);
  };
}

// `wait` is in vain, because its limit has come already; others still run once, and once only, before it returns.
template <typename F>
void expect_one_round(F&& wait, const mothreads::Until& limit) {
  std::vector<std::string> order;
  auto other = spawn("other", [&] {
    for (int i = 0; i < 2; ++i) {
      order.push_back("other");
      yield();
    }
  });
  wait(limit);
  order.push_back("timed out");
  other.join();
  EXPECT_THAT(order, ::testing::ElementsAre("other", "timed out", "other"));
}

}  // namespace cooperative::testing
