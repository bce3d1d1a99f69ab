#include "mothreads/result.h"

#include <fmt/core.h>

#include "mothreads/ended_early.h"
#include "mothreads/misuse.h"

namespace mothreads::inline v0::internal {
namespace {

std::string_view sentence_for(Why why) {
  switch (why) {
    case Why::timed_out: return "nothing came from \"{}\" within the limit";
    case Why::stopped: return "nothing came from \"{}\" before the Signal of the limit went";
    case Why::closed:
    case Why::full:
    case Why::ready: break;
  }
  return "nothing more comes from \"{}\": it is closed, or has ended";
}

}  // namespace

void throw_no_value(Why why, const SharedName& object) {
  throw_ended_early(why, object.view(), fmt::format(fmt::runtime(sentence_for(why)), object.view()));
}

void fail_without_value(Why why, const SharedName& object) {
  throw Misuse(fmt::format("a Result of \"{}\" has no value ({}): test it before * and ->, or call value()", object.view(), to_string(why)));
}

void fail_ready_without_value() { throw Misuse("a Result that is ready has a value: give it the value instead of Why::ready"); }

}  // namespace mothreads::internal
