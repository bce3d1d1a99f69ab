#pragma once

// How the library answers a programmer's error, in every build mode. The message names the object and the remedy.

#include <stdexcept>
#include <string>
#include <string_view>

namespace mothreads::inline v0 {

// Thrown where the caller can go on: nothing has changed when it leaves.
class Misuse : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

namespace internal {

// For errors after which the program would hang or be corrupt: prints the message on stderr and aborts.
[[noreturn]] void fatal_misuse(std::string_view message) noexcept;

}  // namespace internal
}  // namespace mothreads
