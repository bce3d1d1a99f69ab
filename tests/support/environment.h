#pragma once

// A variable of the environment that is another while a test lasts.

#include <cstdlib>
#include <optional>
#include <string>

namespace mothreads::inline v0::testing {

// Null for no such variable.
class EnvironmentVariable {
 public:
  EnvironmentVariable(const char* name, const char* value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    value == nullptr ? unsetenv(name) : setenv(name, value, 1);
  }
  ~EnvironmentVariable() { before_ ? setenv(name_, before_->c_str(), 1) : unsetenv(name_); }

 private:
  const char* name_;
  std::optional<std::string> before_;
};

}  // namespace mothreads::testing
