#include <stdexcept>
#include <string>

#include "docs/examples/plugins/adder.h"
#include "docs/examples/plugins/module.h"
#include "docs/examples/plugins/ticker.h"

namespace plugins {

Module::Module(const std::string& path) {
  for (const Plugin* plugin : {&kTicker, &kAdder}) {
    if (path == plugin->name) plugin_ = plugin;
  }
  if (plugin_ == nullptr) throw std::runtime_error("no plugin \"" + path + "\" is built in");
}

void Module::unload() { plugin_ = nullptr; }

}  // namespace plugins
