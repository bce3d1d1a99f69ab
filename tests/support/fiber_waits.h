#pragma once

// Fibers that wait, for the tests of all that fibers wait for.

#include <exception>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cooperative/fiber.h"
#include "cooperative/sleep.h"
#include "mothreads/until.h"

namespace cooperative::testing {

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
