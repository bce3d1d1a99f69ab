#pragma once

// The name of an object for which fibers wait, where its user gave it one: in reports, in looks from other threads, and in errors. 4 bytes; a
// name takes 64 more, and what is behind its first 55 bytes is not shown.

#include <cstdint>
#include <string>
#include <string_view>

#include "mothreads/internal/base/kept_name.h"
#include "mothreads/internal/wait/context.h"

namespace cooperative::inline v0::internal {

// The name. Throws Misuse for one with a zero byte, naming the `kind` of object that it was for.
std::string_view checked_name(const char* kind, std::string_view name);

class Label {
 public:
  Label() noexcept = default;  // none
  // `kind` is the object's class. An empty name is none.
  Label(const char* kind, std::string_view name) : name_(made(checked_name(kind, name))) {}
  Label(const Label&) noexcept = default;  // for when the object is gone
  Label& operator=(const Label&) = delete;

  std::uint32_t number() const noexcept { return name_.number(); }
  // The description of a fiber's wait for the object.
  mothreads::internal::HostedWait waits(const char* verb) const noexcept { return {verb, number()}; }
  // The description of a wait that other threads may end. The description refers to nothing: the object may go before the wait is over.
  mothreads::internal::WaitDescription waits_everywhere(const char* verb) const noexcept { return {.verb = verb, .kept_name = number()}; }
  // For KeptName::tell_holder() and forget_holder(), of the name of a lock.
  const mothreads::internal::KeptName& name() const noexcept { return name_; }
  // `event "temperature"`, or `event`.
  std::string object(const char* kind) const;

 private:
  static mothreads::internal::KeptName made(std::string_view name) {
    return name.empty() ? mothreads::internal::KeptName() : mothreads::internal::KeptName(name);
  }

  const mothreads::internal::KeptName name_{};
};

}  // namespace cooperative::internal
