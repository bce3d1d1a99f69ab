#include "docs/examples/hash_tree/scan.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

namespace hash_tree {
namespace {

struct Close {
  void operator()(DIR* directory) const { ::closedir(directory); }
};
using Directory = std::unique_ptr<DIR, Close>;

// Empty, with errno, where it cannot be opened.
Directory open_directory(const std::string& path, int flags) {
  const int file = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);
  if (file < 0) return nullptr;
  Directory directory(::fdopendir(file));
  if (!directory) ::close(file);
  return directory;
}

// Most file systems tell the type with the name.
mode_t type_of(DIR* directory, const dirent& entry) {
  if (entry.d_type != DT_UNKNOWN) return DTTOIF(entry.d_type);
  struct stat status {};
  return ::fstatat(::dirfd(directory), entry.d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 ? status.st_mode & S_IFMT : 0;
}

}  // namespace

void walk(std::string root, absl::FunctionRef<bool(Found)> visit) {
  int follow = 0;  // the root, then nothing
  std::vector<std::string> to_do{std::move(root)};
  while (!to_do.empty()) {
    std::string path = std::move(to_do.back());
    to_do.pop_back();
    const Directory directory = open_directory(path, std::exchange(follow, O_NOFOLLOW));
    if (!directory) {
      if (!visit({std::move(path), S_IFDIR, errno})) return;
      continue;
    }
    if (!path.ends_with('/')) path += '/';
    const dirent* entry = nullptr;
    while (errno = 0, (entry = ::readdir(directory.get())) != nullptr) {
      const std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      const mode_t type = type_of(directory.get(), *entry);
      if (type == S_IFLNK) continue;
      std::string entry_path = path;
      entry_path += name;
      if (type == S_IFDIR) {
        to_do.push_back(std::move(entry_path));
      } else if (!visit({std::move(entry_path), type, type == 0 ? errno : 0})) {
        return;
      }
    }
    if (errno != 0 && !visit({std::move(path), S_IFDIR, errno})) return;
  }
}

}  // namespace hash_tree
