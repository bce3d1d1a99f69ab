#pragma once

// Messages on a stream, each behind its length: pycos' send_msg() and recv_msg().
//
//     co::send_msg(socket, "hello");
//     while (auto message = co::recv_msg(socket, absl::Seconds(30))) handle(*message);
//
// On the wire: four bytes, the length of the message, most significant first, and the message.

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "cooperative/io/received.h"
#include "cooperative/io/stream.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {

// A length is what the other side says it is: without a limit it says how much memory is taken here.
inline constexpr std::size_t kDefaultMaxMessage = std::size_t{16} << 20;

struct FrameOptions {
  std::size_t max_message = kDefaultMaxMessage;  // bytes, its length not among them
};

// The other side ended its stream inside a message. What came of it is still there to be read.
class CutOff : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// All of it, or WriteTimedout. Throws TooLong, and sends nothing, when it is longer than may be, or than its length can say. Several that
// send on one stream must not do so at a time.
void send_msg(Stream& stream, std::string_view message, const mothreads::Until& until = {});
void send_msg(Stream& stream, std::string_view message, const FrameOptions& options, const mothreads::Until& until = {});

// The next. `ready` with an empty text is an empty message, `closed` the end between two messages; `timed_out` and `stopped` leave what has
// come where it is, for the next call. Throws CutOff when the end came inside a message, TooLong when one is said to be longer than may be.
ReceivedText recv_msg(Stream& stream, const mothreads::Until& until = {});
ReceivedText recv_msg(Stream& stream, const FrameOptions& options, const mothreads::Until& until = {});

}  // namespace cooperative
