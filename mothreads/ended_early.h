#pragma once

// What a verb throws that promises a value (join, call, connect, get ...), when its wait ends before there is one. A verb that
// returns an Ended or a result with why() throws none of these.
//
//     Timedout    the time of the limit passed, or a Till given as the limit expired
//     Stopped     the Signal of the limit went: this is no reason to try again
//     Closed      the value can no longer come: what it comes from was closed, or has ended
//
// Each names its object: the thread, queue, file or address that the caller waited for. Copying one throws nothing.

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include "mothreads/ended.h"

namespace mothreads::inline v0 {

class EndedEarly : public std::runtime_error {
 public:
  // timed_out, stopped or closed.
  Why why() const noexcept { return why_; }
  const std::string& object() const noexcept { return *object_; }

 protected:
  EndedEarly(Why why, std::string_view object, const std::string& what);

 private:
  Why why_;
  std::shared_ptr<const std::string> object_;
};

class Timedout : public EndedEarly {
 public:
  Timedout(std::string_view object, const std::string& what) : EndedEarly(Why::timed_out, object, what) {}
};

class Stopped : public EndedEarly {
 public:
  Stopped(std::string_view object, const std::string& what) : EndedEarly(Why::stopped, object, what) {}
};

class Closed : public EndedEarly {
 public:
  Closed(std::string_view object, const std::string& what) : EndedEarly(Why::closed, object, what) {}
};

// The one that belongs to the reason.
[[noreturn]] void throw_ended_early(Why why, std::string_view object, const std::string& what);

}  // namespace mothreads
