#pragma once

// The wire: which type and count a verb asks for, and values to and from the structures of libca.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "catools/value.h"

struct oldChannelNotify;

namespace catools::inline v0::internal {

// The use that the caller makes of the value.
enum class Wish : std::uint8_t {
  value,    // a Value
  numbers,  // numbers: the type that the variable has, so that nothing is lost before it is looked at
  text,     // a text: that of an array of characters, else the server's own
  texts,    // an array of texts
};

struct GetPlan {
  Wish wish = Wish::value;
  std::optional<Type> datatype = std::nullopt;
  Format format = Format::raw;
  std::size_t count = 0;
};

// The type and size of a channel, while the channel is connected.
struct Native {
  long type = 0;  // Channel Access' number
  std::size_t element_count = 0;
};

// A connection of a channel as it was when it was made.
struct Connection {
  oldChannelNotify* id = nullptr;
  Native native;
  std::uint64_t number = 0;  // counts the connections of the channel
};

struct Asked {
  long type = 0;  // Channel Access' number, with the format
  unsigned long count = 0;
  bool as_text = false;  // characters that are one text
};

Asked asked_for(const GetPlan& plan, const Native& native, const std::string& name) noexcept;

// All but the name, into parts that have nothing yet. `value` is libca's; throws std::bad_alloc alone.
void decode(ValueParts& parts, std::size_t element_count, bool as_text, long type, long count, const void* value);

// The field that a put changes, as caput.h says.
enum class PutTo : std::uint8_t { value, acknowledged_severity, acknowledge_transient };

// The value that a put sends.
struct Outgoing {
  Data data;
  bool is_exact = true;  // false for a number of 64 bits that is no double
  std::optional<Type> datatype = std::nullopt;
  PutTo to = PutTo::value;
};

struct Encoded {
  long type = 0;
  unsigned long count = 0;
  const void* bytes() const noexcept { return borrowed != nullptr ? borrowed : owned.data(); }
  const void* borrowed = nullptr;  // a place within the Outgoing
  std::vector<std::byte> owned;
};

// Throws an Error where a value does not fit.
Encoded encode(const Outgoing& outgoing, const Native& native, const std::string& name);

}  // namespace catools::inline v0::internal
