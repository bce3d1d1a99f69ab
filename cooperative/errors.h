#pragma once

#include <stdexcept>
#include <string>
#include <system_error>

#include "mothreads/ended_early.h"

namespace cooperative::inline v0 {

// Unwinds a fiber that was cancelled, or what with_timeout() called, from the wait where it is or the next one it comes to. Not a std::exception, so that a
// handler of errors does not take it for one. Who catches it by `catch (...)` throws it on; swallowed, it comes again at the next wait.
class FiberCancelled {};

// join() of a fiber that was cancelled: there is no result.
class WasCancelled : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// What ends a wait early, of threads and fibers alike. Timedout is cothread's name.
using mothreads::Closed;
using mothreads::EndedEarly;
using mothreads::Stopped;
using mothreads::Timedout;

// spawn() on a scheduler that has as many fibers as it may.
class FiberLimit : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// join() of a fiber that could not begin: the system has no room for its stack, or a named limit was reached. The message says which.
class NoStack : public std::system_error {
 public:
  NoStack(int error, const std::string& what) : std::system_error(error, std::generic_category(), what) {}
};

}  // namespace cooperative
