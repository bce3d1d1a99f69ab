#pragma once

// What reading and writing give: how much, and why it was not more. A limit that comes in the middle loses nothing. These are no
// mothreads::Result, which has either a value or a reason: here both may be there, the bytes so far and why they are not all.

#include <cstddef>
#include <string>
#include <utility>

#include "mothreads/ended.h"

namespace cooperative::inline v0 {

// Of a call that fills, or sends, the caller's own memory. `ready` when it did what it was asked; `closed` when the other side has ended
// its stream before that; `timed_out` or `stopped` when the limit came first. size() tells what was done in every case.
class [[nodiscard]] Received {
 public:
  Received(std::size_t size, mothreads::Why why) : size_(size), why_(why) {}

  explicit operator bool() const { return why_ == mothreads::Why::ready; }
  mothreads::Why why() const { return why_; }
  std::size_t size() const { return size_; }

 private:
  std::size_t size_;
  mothreads::Why why_;
};

using Sent = Received;

// Of a call that gives text of a length that the other side decides. When it ended early: at the end of the stream (`closed`) the text
// is what came before that; with `timed_out` and `stopped` what has come stays where it is, for whoever reads next, and the text is empty.
// A last line without a newline is a line, and `ready`: has_delimiter() tells it from the others.
class [[nodiscard]] ReceivedText {
 public:
  explicit(false) ReceivedText(mothreads::Why why) : why_(why) {}
  ReceivedText(std::string text, mothreads::Why why, bool has_delimiter = false)
      : text_(std::move(text)), why_(why), has_delimiter_(has_delimiter) {}

  explicit operator bool() const { return why_ == mothreads::Why::ready; }
  mothreads::Why why() const { return why_; }
  // Of read_line() and read_until(): the delimiter came behind the text.
  bool has_delimiter() const { return has_delimiter_; }

  const std::string& operator*() const& { return text_; }
  std::string&& operator*() && { return std::move(text_); }
  const std::string* operator->() const { return &text_; }

 private:
  std::string text_;
  mothreads::Why why_;
  bool has_delimiter_ = false;
};

}  // namespace cooperative
