#include <dlfcn.h>

#include <stdexcept>
#include <string>

#include "docs/examples/plugins/module.h"

namespace plugins {

Module::Module(const std::string& path) : handle_(::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
  if (handle_ == nullptr) throw std::runtime_error(::dlerror());
  auto* const entry = reinterpret_cast<Entry*>(::dlsym(handle_, kEntry));
  if (entry == nullptr) {
    const std::string why = ::dlerror();
    ::dlclose(handle_);
    throw std::runtime_error(why);
  }
  plugin_ = entry();
}

void Module::unload() {
  plugin_ = nullptr;
  ::dlclose(handle_);
}

}  // namespace plugins
