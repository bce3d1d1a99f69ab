// For one_copy_test: loads the modules that its arguments name, and says how many there are.

#include <dlfcn.h>

#include <cstdio>

#include "mothreads/main_thread.h"

int main(int argc, char** argv) {
  return mothreads::MainThread::run([&](mothreads::Signal) {
    for (int i = 1; i < argc; ++i) {
      if (::dlopen(argv[i], RTLD_NOW | RTLD_LOCAL) != nullptr) continue;
      std::fprintf(stderr, "%s\n", ::dlerror());
      return 1;
    }
    std::printf("%d loaded\n", argc - 1);
    return 0;
  });
}
