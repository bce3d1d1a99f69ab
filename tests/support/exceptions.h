#pragma once

// Exceptions as values, for a test to compare.

#include <exception>
#include <stdexcept>
#include <string>

namespace mothreads::inline v0::testing {

// What `action` throws as E says; empty when it throws none.
template <typename E, typename F>
std::string what_of(F&& action) {
  try {
    action();
  } catch (const E& error) {
    return error.what();
  }
  return "";
}

// An exception of a test's own, with more to it than its text.
class Refused : public std::runtime_error {
 public:
  Refused(const std::string& text, int port_) : std::runtime_error(text), port(port_) {}
  int port;
};

// One that was never thrown.
inline std::exception_ptr failure(const char* text) { return std::make_exception_ptr(std::runtime_error(text)); }

}  // namespace mothreads::testing
