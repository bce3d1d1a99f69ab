#include "docs/examples/relay/seconds.h"

#include <algorithm>
#include <utility>

namespace relay {

void Seconds::add(const Reading& reading) {
  ++readings_;
  const std::int64_t second = absl::ToInt64Seconds(reading.at);
  if (second < next_) {
    ++late_;
    return;
  }
  Row& row = open_.try_emplace(second, sensors_).first->second.at(reading.sensor - 1);
  row.least = row.count == 0 ? reading.value : std::min(row.least, reading.value);
  row.greatest = row.count == 0 ? reading.value : std::max(row.greatest, reading.value);
  row.sum += reading.value;
  ++row.count;
}

std::optional<Second> Seconds::take(absl::Duration now) {
  if (absl::Seconds(next_ + 1) > now) return std::nullopt;
  return take_next();
}

std::optional<Second> Seconds::take_last() {
  if (open_.empty()) return std::nullopt;
  return take_next();
}

Second Seconds::take_next() {
  Second second{next_++, std::vector<Row>(sensors_)};
  if (auto found = open_.extract(second.number)) second.rows = std::move(found.mapped());
  return second;
}

}  // namespace relay
