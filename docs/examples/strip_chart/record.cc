#include "docs/examples/strip_chart/record.h"

#include <fmt/core.h>

namespace strip_chart {

namespace co = cooperative;

namespace {

// As RFC 4180 says.
std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string quoted(1, '"');
  for (const char c : text) quoted.append(c == '"' ? 2 : 1, c);
  quoted += '"';
  return quoted;
}

}  // namespace

std::string csv_line(std::string_view name, const Point& point, catools::Severity severity) {
  return fmt::format("{},{},{},{}\n", absl::FormatTime("%E4Y-%m-%dT%H:%M:%E9SZ", point.at, absl::UTCTimeZone()), csv_field(name), point.value, to_string(severity));
}

Record::Record(const std::string& path) : file_(co::File::create(path)) {
  file_.write_all("time,name,value,severity\n");
  writer_ = co::spawn("record", [this](const mothreads::Signal&) { write(); });  // it ends when the queue is closed
}

void Record::add(std::string_view name, const Point& point, catools::Severity severity) {
  if (waiting_.signal(csv_line(name, point, severity))) {
    ++lines_;
  } else {
    ++lost_;
  }
}

void Record::finish() {
  waiting_.close();
  writer_.join();
  file_.close();
}

void Record::write() {
  while (auto line = waiting_.next()) {
    std::string all = *std::move(line);
    while (waiting_.size() > 0) all += waiting_.wait();
    file_.write_all(all);
  }
}

}  // namespace strip_chart
