#pragma once

// The contract of the host and its plugins.

#include <string>

#include "mothreads/signal.h"

namespace plugins {

struct Settings {
  std::string device;  // a FIFO that the plugin reads as it stops; none where it is empty
};

struct Plugin {
  const char* name;
  // On a thread of the plugin's own. What it starts is below that, and has ended when it returns. It owns all that it uses: where it
  // does not stop in time, the host goes on without it.
  void (*run)(Settings settings, mothreads::Signal please_stop);
};

// The function that a module exports.
using Entry = const Plugin*();
inline constexpr const char* kEntry = "mothreads_plugin";

}  // namespace plugins
