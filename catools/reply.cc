#include "catools/reply.h"

namespace catools::inline v0::internal {

void fail_without_value(const std::string& name) {
  throw mothreads::Misuse("the Reply of " + name + " has no value: test it first, or take value(), which throws its error");
}
void fail_without_error(const std::string& name) { throw mothreads::Misuse("the Reply of " + name + " has a value and no error: test it first"); }

}  // namespace catools::inline v0::internal
