#pragma once

// Runs a test's function where users call verbs: on a thread that knows no scheduler, and in a fiber.

#include <exception>
#include <string_view>
#include <thread>

#include <gtest/gtest.h>

#include "absl/functional/function_ref.h"
#include "cooperative/fiber.h"

namespace catools::testing {

inline void in_each_world(absl::FunctionRef<void()> function) {
  {
    SCOPED_TRACE("on a thread of the program's own");
    std::exception_ptr failure;
    std::thread([&] {
      try {
        function();
      } catch (...) {
        failure = std::current_exception();
      }
    }).join();
    if (failure != nullptr) std::rethrow_exception(failure);
  }
  SCOPED_TRACE("in a fiber");
  cooperative::spawn("test", [&] { function(); }).join();
}

}  // namespace catools::testing
