#pragma once

// So few descriptors may this process have, in its scope.

#include <sys/resource.h>

#include <cerrno>
#include <system_error>

#include <gtest/gtest.h>

#include "cooperative/io/io_error.h"

namespace cooperative::inline v0::testing {

class DescriptorLimit {
 public:
  explicit DescriptorLimit(rlim_t count) {
    // UndefinedBehaviorSanitizer looks at the type of an object by a pipe, for which there will be no descriptor, and remembers what it has
    // seen: so it looks at an error of this kind before, one of which the compiler does not know the type.
    try {
      throw IoError(EMFILE, "a test", "look at its error");
    } catch (const IoError& error) {
      EXPECT_EQ(error.code(), std::errc::too_many_files_open);
      EXPECT_STRNE(error.what(), "");
    }
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before_), 0);
    const rlimit limit{.rlim_cur = count, .rlim_max = before_.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
  }
  ~DescriptorLimit() { EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before_), 0); }
  DescriptorLimit(const DescriptorLimit&) = delete;
  DescriptorLimit& operator=(const DescriptorLimit&) = delete;

 private:
  rlimit before_{};
};

}  // namespace cooperative::testing
