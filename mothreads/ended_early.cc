#include "mothreads/ended_early.h"

#include <fmt/core.h>

#include "mothreads/misuse.h"

namespace mothreads::inline v0 {

EndedEarly::EndedEarly(Why why, std::string_view object, const std::string& what)
    : std::runtime_error(what), why_(why), object_(std::make_shared<const std::string>(object)) {}

void throw_ended_early(Why why, std::string_view object, const std::string& what) {
  switch (why) {
    case Why::timed_out: throw Timedout(object, what);
    case Why::stopped: throw Stopped(object, what);
    case Why::closed: throw Closed(object, what);
    case Why::full:
    case Why::ready: break;
  }
  throw Misuse(fmt::format("throw_ended_early: a wait for \"{}\" that ended {} is no error", object, to_string(why)));
}

}  // namespace mothreads
