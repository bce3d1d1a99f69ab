#pragma once

// A variable of the environment that is for this process alone.

#include <optional>
#include <string>

namespace mothreads::inline v0::internal {

// Its value, which is removed from the environment, so that no child inherits it. Nothing where there is none. No other thread may use the
// environment meanwhile.
std::optional<std::string> take_variable(const char* name);

}  // namespace mothreads::internal
