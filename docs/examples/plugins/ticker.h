#pragma once

// A plugin of fibers: one counts ticks. As it stops it reads its device, and gets stuck where that does not answer.

#include "docs/examples/plugins/plugin.h"

namespace plugins {

extern const Plugin kTicker;

}  // namespace plugins
