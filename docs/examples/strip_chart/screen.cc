#include "docs/examples/strip_chart/screen.h"

#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace strip_chart {

Size Screen::size() const {
  Size size;
  winsize window{};
  if (ioctl(fileno(output_), TIOCGWINSZ, &window) == 0 && window.ws_col > 0 && window.ws_row > 0) size = {window.ws_col, window.ws_row};
  size.rows = size.rows > kMessages + 1 ? size.rows - kMessages - 1 : 1;
  return size;
}

void Screen::show(const std::vector<std::string>& lines) {
  const std::lock_guard lock(mutex_);
  std::string text = "\x1b[H";  // to the first line; each line clears what is behind it
  for (const std::string& line : lines) text += line + "\x1b[K\r\n";
  text += "\x1b[J";  // nothing of a larger picture before stays below
  for (const std::string& message : messages_) text += message + "\x1b[K\r\n";
  std::fputs(text.c_str(), output_);
  if (std::fflush(output_) != 0 || std::ferror(output_) != 0) throw std::system_error(errno, std::generic_category(), "cannot write the chart");
}

void Screen::message(std::string_view text) {
  const std::lock_guard lock(mutex_);
  if (!in_place_) {
    std::fprintf(stderr, "strip_chart: %.*s\n", static_cast<int>(text.size()), text.data());
    return;
  }
  std::string& message = messages_.emplace_back(text.substr(0, kMessage));
  std::replace_if(message.begin(), message.end(), [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }, '?');
  if (messages_.size() > kMessages) messages_.pop_front();
}

}  // namespace strip_chart
