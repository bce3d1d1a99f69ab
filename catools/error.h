#pragma once

// Errors of process variables: one family for gets, puts, connections and monitors.
//
//     try {
//       ca::caput("TEST:SETPOINT", 3.5, {.wait = true}, please_stop | absl::Seconds(2));
//     } catch (const Stopped&) {
//       return;                                                    // the Signal of the limit went
//     } catch (const ca::Error& e) {                               // everything else, a late answer too
//       log::warning("{}", e.what());                              // "TEST:SETPOINT: Write access denied"
//     }
//
// Every exception of this family is an Error and, by its why(), also one of the library's own:
//
//     timed_out    mothreads::Timedout    the time of the limit passed
//     stopped      mothreads::Stopped     the Signal of the limit went
//     closed       mothreads::Closed      no value comes: the server is gone, refuses, or has a value that does not fit
//
// An Error itself is a value that can be kept, as in a Reply. Copying one throws nothing. Thread safety: as a constant.

#include <memory>
#include <ostream>
#include <string>
#include <string_view>

#include "mothreads/ended.h"
#include "mothreads/ended_early.h"

namespace catools::inline v0 {

// The codes of Channel Access (caerr.h of EPICS Base 7.0) that a client meets. A server may send others.
enum class Code : int {
  normal = 1,
  no_memory = 48,
  too_large = 72,
  timed_out = 80,
  bad_type = 114,
  internal = 142,
  get_failed = 152,
  put_failed = 160,
  bad_count = 176,
  bad_string = 186,
  disconnected = 192,
  bad_mask = 330,
  no_read_access = 368,
  no_write_access = 376,
  no_conversion = 400,
  closed = 440,  // the channel, or the whole of Channel Access in this process
};

class Error {
 public:
  Error(mothreads::Why why, Code code, std::string_view name, std::string_view text);

  mothreads::Why why() const noexcept { return why_; }  // timed_out, stopped or closed
  Code code() const noexcept { return code_; }
  const std::string& name() const noexcept { return parts_->name; }  // the process variable
  const std::string& text() const noexcept { return parts_->text; }
  const char* what() const noexcept { return parts_->what.c_str(); }  // name and text

  // Throws it as the exception that belongs to why().
  [[noreturn]] void raise() const;

 private:
  struct Parts {
    std::string name;
    std::string text;
    std::string what;
  };

  mothreads::Why why_;
  Code code_;
  std::shared_ptr<const Parts> parts_;
};

// The exception that raise() throws. Catch an Error, or one of the library's exceptions.
template <typename Base>
class ErrorAs final : public Base, public Error {
 public:
  explicit ErrorAs(const Error& error) : Base(error.name(), error.what()), Error(error) {}
  using Base::what;
  using Error::why;
};

std::ostream& operator<<(std::ostream& out, Code code);
std::ostream& operator<<(std::ostream& out, const Error& error);

}  // namespace catools::inline v0
