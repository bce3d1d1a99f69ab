#include "cooperative/io/io_error.h"

#include <fmt/core.h>

#include "mothreads/internal/base/printable.h"

namespace cooperative::inline v0 {

using mothreads::internal::printable;

IoError::IoError(int error, std::string_view object, std::string_view verb)
    : std::system_error(error, std::generic_category(), printable(fmt::format("{}: cannot {}", object, verb))) {}

namespace {

const char* in_words(mothreads::Why why) { return why == mothreads::Why::stopped ? "stopped" : "timed out"; }

}  // namespace

WriteTimedout::WriteTimedout(std::string_view object, mothreads::Why why, std::size_t written, std::size_t size, std::string_view what_was)
    : EndedEarly(why, object, fmt::format("{}: {} after {} of {} {}", object, in_words(why), written, size, what_was)), written_(written) {}

void throw_early(std::string_view object, mothreads::Why why, std::string_view verb) {
  mothreads::throw_ended_early(why, object, fmt::format("{}: {} before it could {}", object, in_words(why), verb));
}

}  // namespace cooperative
