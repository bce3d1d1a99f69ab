#pragma once

// The limits of a number that a process variable tells about itself. NaN means that it tells none.

#include <limits>

namespace catools::inline v0 {

struct Limits {
  static constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

  double low_display = kNone;  // the scale of a display
  double high_display = kNone;
  double low_alarm = kNone;  // beyond these the severity is major
  double high_alarm = kNone;
  double low_warning = kNone;  // beyond these it is minor
  double high_warning = kNone;
  double low_control = kNone;  // beyond these a put is clipped, or refused
  double high_control = kNone;
};

}  // namespace catools::inline v0
