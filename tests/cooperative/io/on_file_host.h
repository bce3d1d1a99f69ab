#pragma once

// The fixture of tests of files.

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "cooperative/io/internal/file_ring.h"
#include "mothreads/signal.h"
#include "mothreads/thread.h"
#include "tests/support/nothing_left.h"
#include "tests/support/scratch_folder.h"

namespace cooperative::inline v0::testing {

// In a folder of its own; with io_uring, where there is one, and without.
class OnFileHost : public mothreads::testing::NothingLeft, public ::testing::WithParamInterface<bool> {
 protected:
  std::string path(const std::string& name = "file") const { return folder_.path(name); }
  std::vector<std::string> names() const { return folder_.names(); }

  // The test's body on a thread of its own, whose scheduler ends with it, and the threads that served its files.
  template <typename F>
  static void on_host(F&& body) {
    mothreads::Thread::run("host", [&](mothreads::Signal) {
      if (!GetParam()) internal::io::do_without_file_ring();
      body();
    }).join();
  }

  mothreads::testing::ScratchFolder folder_;
};

}  // namespace cooperative::testing
