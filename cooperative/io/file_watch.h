#pragma once

// What changes in a file system: inotify, for fibers.
//
//     co::FileWatch watch("/etc/app", co::Changed::created | co::Changed::written | co::Changed::moved_in);
//     while (auto change = watch.next(please_stop)) reload(change->path);
//
// A folder is watched with what is directly in it; what is in folders below is not. A file is watched itself, under whatever name: that it is
// replaced by another of its name is that it is removed, or moved away. Its removal is told at once, also while somebody has it open; that of a
// watched folder when nobody has it open any more.
//
// The same change twice in a row is told once, if the first has not been taken. What was not taken in time is lost once there are too many:
// then the last says Changed::overflow, and it is time to look for oneself.
//
// Several fibers may wait: a change goes to the first. Which thread: see descriptor.h.

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>

#include "cooperative/io/descriptor.h"
#include "mothreads/internal/base/fork.h"
#include "mothreads/result.h"
#include "mothreads/until.h"

namespace cooperative::inline v0 {

enum class Changed : std::uint32_t {
  modified = 1 << 0,    // its content, by a write or truncation
  written = 1 << 1,     // one that was open to be written was closed
  attributes = 1 << 2,  // permissions, times, the number of its names
  removed = 1 << 3,     // from the folder; or the watched file itself has no name any more
  moved_away = 1 << 4,  // out of the folder; or the watched file itself has another name
  created = 1 << 5,     // in the folder
  moved_in = 1 << 6,    // into the folder
  unmounted = 1 << 7,   // always told, with the next
  overflow = 1 << 8,
};
constexpr Changed operator|(Changed a, Changed b) { return static_cast<Changed>(static_cast<std::uint32_t>(a) | static_cast<std::uint32_t>(b)); }
constexpr Changed operator&(Changed a, Changed b) { return static_cast<Changed>(static_cast<std::uint32_t>(a) & static_cast<std::uint32_t>(b)); }
constexpr bool any(Changed changes) { return changes != Changed{}; }
std::string to_string(Changed changes);  // "created|written"

inline constexpr Changed kAnyChange = Changed::modified | Changed::written | Changed::attributes | Changed::removed | Changed::moved_away |
                                      Changed::created | Changed::moved_in;

struct FileChange {
  std::string path;  // what was watched, and the name in it of what has changed, if it is not itself; empty for an overflow
  Changed what{};
  bool is_folder = false;
  std::uint32_t move = 0;  // the same for the moved_away and the moved_in of one move; else 0
};

class [[nodiscard]] FileWatch {
 public:
  // Watches nothing yet. Throws IoError when the user has no more watches.
  [[nodiscard]] FileWatch();
  [[nodiscard]] explicit FileWatch(const std::string& path, Changed what = kAnyChange) : FileWatch() { add(path, what); }
  FileWatch(FileWatch&&) noexcept = default;
  FileWatch& operator=(FileWatch&&) noexcept = default;
  ~FileWatch();

  // Throws IoError, which names the path; mothreads::Misuse when nothing is asked for, or the same file is watched already.
  void add(const std::string& path, Changed what = kAnyChange);
  // Changes of it that have not been taken are dropped. Throws mothreads::Misuse when it is not watched.
  void remove(const std::string& path);

  // A change, or why there is none: `closed` when nothing is watched any more, since all has been removed.
  using Next = mothreads::Result<FileChange>;
  // Throws Closed when it is closed meanwhile.
  Next next(const mothreads::Until& until = {});
  // For wait_for_any(): co::wait_for_any(std::tie(watch, please_stop)). next(absl::ZeroDuration()) then takes the change; there may be none after all.
  class Branch;

  // Fibers that wait end by Closed.
  void close();
  std::string name() const;

 private:
  struct Watched {
    std::string path;
    Changed what;
    int file;  // kept open: what is removed then still says that it has no name; -1 for a folder
  };

  void check_process(const char* what) const;
  bool read_more();
  void take(int watch, std::uint32_t mask, std::uint32_t cookie, const char* name);
  void forget(std::map<int, Watched>::iterator watched);

  mothreads::internal::Born born_;
  Descriptor descriptor_;
  std::map<int, Watched> watched_;  // by inotify's number
  std::deque<std::pair<int, FileChange>> changes_;
};

class FileWatch::Branch final : public internal::io::DescriptorBranch {
 public:
  explicit Branch(FileWatch& watch) : DescriptorBranch(watch.descriptor_, internal::Readiness::Side::read), watch_(watch) {}
  bool hold() override { return !watch_.changes_.empty() || watch_.watched_.empty() || DescriptorBranch::hold(); }

 private:
  FileWatch& watch_;
};

}  // namespace cooperative
