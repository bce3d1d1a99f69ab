#pragma once

// The key to what public classes have for the library's own use. A member that takes an Access is none of the public face: it may change with any
// version.

namespace mothreads::inline v0::internal {

struct Access {
  explicit Access() = default;
};
inline constexpr Access kAccess{};

}  // namespace mothreads::internal
