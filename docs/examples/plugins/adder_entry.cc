// For the module alone: built-in plugins would clash by this name.

#include "docs/examples/plugins/adder.h"

extern "C" plugins::Entry mothreads_plugin;
extern "C" const plugins::Plugin* mothreads_plugin() { return &plugins::kAdder; }
