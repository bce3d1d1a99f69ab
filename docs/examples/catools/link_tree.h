#pragma once

// The records that a record gets its values from: its input links, and theirs.

#include <string>
#include <string_view>
#include <vector>

namespace tools {

// The fields of a type of record that may be input links, in order; none for a type that is not known.
std::vector<std::string> link_fields(std::string_view record_type);

// A link field's text: a process variable and its flags, a constant, an address of hardware, or nothing.
struct Link {
  std::string target;  // of a process variable; else empty
  std::string text;    // as it stands in the record
  bool passes_severity = false;  // MS, MSS or MSI
};
Link parse_link(std::string_view text);

// "REC.VAL" -> "REC": the record of a process variable.
std::string record_of(std::string_view name);

}  // namespace tools
