#pragma once

// The elements of a process variable's value, and their conversions as an IOC makes them.

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "catools/limits.h"

namespace catools::inline v0::internal {

// The numbers are those of the protocol, and the index in Cells.
enum class CellType : std::uint16_t { string, int16, float32, choice, byte, int32, float64 };
inline constexpr std::size_t kCellTypes = 7;

// A choice is the index of one of the texts of an enumeration.
using Cells = std::variant<std::vector<std::string>, std::vector<std::int16_t>, std::vector<float>, std::vector<std::uint16_t>,
                           std::vector<std::uint8_t>, std::vector<std::int32_t>, std::vector<double>>;

inline constexpr std::size_t kStringSize = 40;  // bytes of a string on the wire, its zero among them
inline constexpr std::size_t kUnitsSize = 8;
inline constexpr std::size_t kMaxChoices = 16;
inline constexpr std::size_t kChoiceSize = 26;

// The properties that a process variable tells beside its value.
struct Properties {
  static constexpr int kNoPrecision = -1;

  std::string units = {};
  int precision = kNoPrecision;  // digits behind the point when a number becomes text
  Limits limits = {};
  std::vector<std::string> texts = {};
};

inline CellType type_of(const Cells& cells) { return static_cast<CellType>(cells.index()); }
std::size_t count_of(const Cells& cells);
std::size_t bytes_of(CellType type);  // a cell on the wire has so many
Cells no_cells(CellType type);

// The text says which cell cannot be converted, and why.
class ConversionError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

enum class Fit : bool {
  clamp,   // a number beyond the range of an integer becomes the end of the range; NaN becomes 0
  refuse,  // such a number is an error
};

// As another type: a fraction is cut, a number becomes text with the precision, a choice its text, a text the number or the choice that it names.
// Throws ConversionError.
Cells convert(const Cells& cells, CellType to, const Properties& properties, Fit fit);
// Converts the first `most` cells alone.
Cells convert(const Cells& cells, std::size_t most, CellType to, const Properties& properties, Fit fit);

// A number as a record gives it as text: with so many digits, in exponential form where it is very large.
std::string text_of(double number, int precision);

// Throws ConversionError for a choice beyond the texts.
void check_choices(const Cells& cells, const Properties& properties);

// --- the wire --------------------------------------------------------------------------------------------------------------------

// So many cells from the first on.
void append_cells(std::string& out, const Cells& cells, std::size_t first, std::size_t count);
// Appends the cells that the bytes hold, whose size is a multiple of bytes_of().
void take_cells(Cells& cells, std::string_view bytes);

}  // namespace catools::inline v0::internal
