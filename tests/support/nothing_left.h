#pragma once

// A fixture for tests that start threads: what a test made is gone when it ends.

#include <cstddef>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace mothreads::inline v0::testing {

// Counts OS threads and descriptors, the library's own threads ("timers", "log" and so on) aside: those serve the process.
class NothingLeft : public ::testing::Test {
 protected:
  void SetUp() override;

  // Fails when a thread, a descriptor, a child of the main thread or an unclaimed failure is left over.
  void TearDown() override;

 private:
  std::size_t threads_ = 0;
  std::vector<std::string> descriptors_;
  std::size_t children_ = 0;
};

// The OS threads of the process, without the library's own. A thread that has been joined may show for a moment longer.
std::size_t count_threads();

// The names of what the open descriptors refer to, in the order of their numbers. Files that the process has mapped are left out: a report with stacks
// leaves the program and the shared libraries open that it took names from.
std::vector<std::string> open_descriptors();

// Blocks until there are so many; false when that takes longer than any correct program needs.
bool await_thread_count(std::size_t count);

// How many threads failed without anyone to learn of it, since the last call. A test that makes such failures must ask.
int take_unclaimed_failures();

}  // namespace mothreads::testing
