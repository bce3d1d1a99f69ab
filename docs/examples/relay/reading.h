#pragma once

#include "absl/time/time.h"

namespace relay {

// What a sensor measured.
struct Reading {
  unsigned sensor = 0;  // from 1
  absl::Duration at;    // since the beginning
  double value = 0;
};

}  // namespace relay
