#include "cooperative/io/io_error.h"

#include <fmt/core.h>

namespace cooperative {

IoError::IoError(int error, std::string_view object, std::string_view verb)
    : std::system_error(error, std::generic_category(), fmt::format("{}: cannot {}", object, verb)) {}

}  // namespace cooperative
