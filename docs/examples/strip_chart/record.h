#pragma once

// Writes each update to a file of comma-separated values: time, name, value, severity. A fiber writes what has come meanwhile with one call, so no
// update waits for the disk; memory is bounded, and an update that finds it full is counted as lost.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "catools/alarm.h"
#include "cooperative/event_queue.h"
#include "cooperative/fiber.h"
#include "cooperative/io/file.h"
#include "docs/examples/strip_chart/history.h"

namespace strip_chart {

// "2026-11-30T12:00:00.123456789Z,SR-DI-DCCT-01:SIGNAL,300.125,none\n". A name with a comma or a quote is quoted as RFC 4180 says.
std::string csv_line(std::string_view name, const Point& point, catools::Severity severity);

class Record {
 public:
  static constexpr std::size_t kMaxWaiting = 100'000;  // lines

  // Makes the file, or empties it, and writes a head. Throws IoError, which names the path.
  explicit Record(const std::string& path);
  ~Record() { waiting_.close(); }  // where finish() was not reached: the writer ends, and is awaited
  Record(const Record&) = delete;
  Record& operator=(const Record&) = delete;

  // Never waits.
  void add(std::string_view name, const Point& point, catools::Severity severity);
  // Waits until all is in the file. Throws IoError, which names the path, also for what could not be written before.
  void finish();

  std::uint64_t lines() const { return lines_; }
  std::uint64_t lost() const { return lost_; }

 private:
  void write();

  cooperative::File file_;
  cooperative::EventQueue<std::string> waiting_{kMaxWaiting};
  std::uint64_t lines_ = 0;
  std::uint64_t lost_ = 0;
  cooperative::Fiber<void> writer_;
};

}  // namespace strip_chart
