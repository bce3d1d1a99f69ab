#include "mothreads/ended.h"

namespace mothreads::inline v0 {

std::string_view to_string(Why why) {
  switch (why) {
    case Why::ready:
      return "ready";
    case Why::closed:
      return "closed";
    case Why::timed_out:
      return "timed out";
    case Why::stopped:
      return "stopped";
    case Why::full:
      return "full";
  }
  return "unknown";
}

std::ostream& operator<<(std::ostream& out, Why why) { return out << to_string(why); }

}  // namespace mothreads
