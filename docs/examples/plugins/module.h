#pragma once

// A plugin and its code: a module that is loaded (loaded_module.cc), or a part of the program (built_in_module.cc).

#include <string>

#include "docs/examples/plugins/plugin.h"

namespace plugins {

class Module {
 public:
  // Throws std::runtime_error, which says why there is none.
  explicit Module(const std::string& path);

  const Plugin& plugin() const { return *plugin_; }

  // For the time when nothing is left whose code is there. Without the call it stays loaded until the process ends.
  void unload();

 private:
  const Plugin* plugin_ = nullptr;
  [[maybe_unused]] void* handle_ = nullptr;  // of one that is loaded
};

}  // namespace plugins
