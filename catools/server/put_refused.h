#pragma once

// A put handler throws this to refuse a put: the client's put fails (ECA_PUTFAIL), and the text is logged.
//
//     server.add<double>("SIM:SETPOINT", 0.0, {.on_put = [](double v) {
//       if (v < 0) throw ca::PutRefused("must not be negative");
//     }});

#include <stdexcept>

namespace catools::inline v0 {

class PutRefused : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace catools::inline v0
