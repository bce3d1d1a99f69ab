#pragma once

// What fails between this process and the rest of the world.

#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

#include "cooperative/errors.h"
#include "mothreads/ended.h"

namespace cooperative::inline v0 {

// A call to the system that failed. The message names the object, what was to be done with it, and the system's reason; code() is for
// programs: error.code() == std::errc::connection_refused. Control characters of the object's name are escaped in the message: "a\x00b".
class IoError : public std::system_error {
 public:
  IoError(int error, std::string_view object, std::string_view verb);

 protected:
  // Of what is not the system, but stands for it.
  IoError(std::error_code error, const std::string& what) : std::system_error(error, what) {}
};

// A write whose limit came before all was written; why() is timed_out or stopped. So much was: the conversation is broken there,
// unless the other side can tell.
class WriteTimedout : public EndedEarly {
 public:
  // "OBJECT: timed out after 3 of 5 bytes were written"
  WriteTimedout(std::string_view object, mothreads::Why why, std::size_t written, std::size_t size,
                std::string_view what_was = "bytes were written");
  // The same of a part of a larger write, before which so much was written.
  WriteTimedout(const WriteTimedout& of_part, std::size_t before)
      : EndedEarly(of_part.why(), of_part.object(), of_part.what()), written_(before + of_part.written()) {}
  std::size_t written() const { return written_; }

 private:
  std::size_t written_;
};

// Timedout or Stopped: "OBJECT: timed out before it could VERB".
[[noreturn]] void throw_early(std::string_view object, mothreads::Why why, std::string_view verb);

// More came without a delimiter than the reader takes. It is still there to be read.
class TooLong : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace cooperative
