#pragma once

// The operations that clients may do on a process variable.

#include <cstdint>

namespace catools::inline v0 {

// The numbers travel: bit 0 to read, bit 1 to write.
enum class AccessRights : std::uint8_t { none, read, write, read_write };

}  // namespace catools::inline v0
