#pragma once

// Walks a tree of files.

#include <sys/types.h>

#include <string>

#include "absl/functional/function_ref.h"

namespace hash_tree {

struct Found {
  std::string path;  // root/relative, as `find root` prints it
  mode_t type = 0;   // S_IFREG, S_IFIFO ...; 0 where it could not be found out
  int error = 0;     // errno of what went wrong here: a directory that cannot be read, a name that vanished
};

// Calls visit() for what is in the tree, but not for directories that can be read and not for symbolic links, until it says
// false. Links are not followed, except `root` itself. On a file system that leads in circles nevertheless, the kernel's
// limit for the length of a path ends the way (ENAMETOOLONG). The order: a directory's own files, as the file system lists
// them, and then its subdirectories, the one listed last first.
void walk(std::string root, absl::FunctionRef<bool(Found)> visit);

}  // namespace hash_tree
