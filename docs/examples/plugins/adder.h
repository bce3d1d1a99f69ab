#pragma once

// A plugin of a thread and fibers: the thread makes numbers, a fiber of the plugin's own thread adds them up.

#include "docs/examples/plugins/plugin.h"

namespace plugins {

extern const Plugin kAdder;

}  // namespace plugins
