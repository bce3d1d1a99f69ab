#include "cooperative/io/file_watch.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include <fmt/core.h>
#include <fmt/ranges.h>

#include "absl/cleanup/cleanup.h"
#include "cooperative/io/internal/c_string.h"
#include "cooperative/io/io_error.h"
#include "mothreads/internal/base/printable.h"
#include "mothreads/misuse.h"

namespace cooperative::inline v0 {

using mothreads::Misuse;
using mothreads::Until;
using mothreads::Why;
using mothreads::internal::printable;
using Side = Descriptor::Side;

namespace {

struct Kind {
  Changed what;
  std::uint32_t mask;
  const char* name;
};
constexpr Kind kKinds[]{
    {Changed::modified, IN_MODIFY, "modified"},
    {Changed::written, IN_CLOSE_WRITE, "written"},
    {Changed::attributes, IN_ATTRIB, "attributes"},
    {Changed::removed, IN_DELETE | IN_DELETE_SELF, "removed"},
    {Changed::moved_away, IN_MOVED_FROM | IN_MOVE_SELF, "moved_away"},
    {Changed::created, IN_CREATE, "created"},
    {Changed::moved_in, IN_MOVED_TO, "moved_in"},
    {Changed::unmounted, IN_UNMOUNT, "unmounted"},
    {Changed::overflow, IN_Q_OVERFLOW, "overflow"},
};

std::uint32_t mask_of(Changed what) {
  std::uint32_t mask = 0;
  for (const Kind& kind : kKinds) {
    if (any(what & kind.what)) mask |= kind.mask;
  }
  return mask;
}

Changed changes_of(std::uint32_t mask) {
  Changed what{};
  for (const Kind& kind : kKinds) {
    if ((mask & kind.mask) != 0) what = what | kind.what;
  }
  return what;
}

bool has_no_name(int file) {
  struct stat status {};
  return file >= 0 && fstat(file, &status) == 0 && status.st_nlink == 0;
}

}  // namespace

std::string to_string(Changed changes) {
  std::vector<const char*> names;
  for (const Kind& kind : kKinds) {
    if (any(changes & kind.what)) names.push_back(kind.name);
  }
  return fmt::format("{}", fmt::join(names, "|"));
}

FileWatch::FileWatch() {
  const int descriptor = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (descriptor < 0) throw IoError(errno, "a FileWatch", "make one");
  descriptor_ = Descriptor(descriptor, Descriptor::NonBlocking{});
}

FileWatch::~FileWatch() {
  while (!watched_.empty()) forget(watched_.begin());
}

void FileWatch::close() {
  descriptor_.close();
  while (!watched_.empty()) forget(watched_.begin());
  changes_.clear();
}

std::string FileWatch::name() const {
  std::vector<std::string> paths;
  for (const auto& [number, watched] : watched_) paths.push_back(fmt::format("\"{}\"", watched.path));
  return fmt::format("watch over {}", paths.empty() ? "nothing" : fmt::format("{}", fmt::join(paths, ", ")));
}

// The parent has the same inotify: a change to it here, or one that is read here, would be the parent's loss.
void FileWatch::check_process(const char* what) const {
  if (born_.is_left_behind()) throw Misuse(fmt::format("a FileWatch of the process that made this one by fork() was to {}: make another here", what));
}

void FileWatch::add(const std::string& path, Changed what) {
  check_process("watch over more");
  if (!any(what & kAnyChange)) throw Misuse(fmt::format("a watch over \"{}\" needs something to watch for", printable(path)));
  descriptor_.check_open({"a FileWatch", [this] { return name(); }, "watch over more"});
  const std::string object = fmt::format("file \"{}\"", path);
  internal::io::check_c_string(path, object, "watch it");
  int file = ::open(path.c_str(), O_PATH | O_CLOEXEC);
  if (file < 0) throw IoError(errno, object, "watch it");
  absl::Cleanup close_it = [&file] {
    if (file >= 0) ::close(file);
  };
  struct stat status {};
  fstat(file, &status);
  // By the descriptor: it is that file, whatever is done to its name meanwhile. What has no name any more is told as a change of attributes.
  std::uint32_t mask = mask_of(what) | IN_MASK_CREATE;
  if (!S_ISDIR(status.st_mode) && any(what & Changed::removed)) mask |= IN_ATTRIB;
  const int watch = inotify_add_watch(descriptor_.native(), fmt::format("/proc/self/fd/{}", file).c_str(), mask);
  if (watch < 0 && errno == EEXIST) throw Misuse(fmt::format("\"{}\" is watched already, under this name or another: remove() it first", printable(path)));
  if (watch < 0) throw IoError(errno, object, "watch it");
  // A folder that is kept open would not be told as removed.
  const int kept = S_ISDIR(status.st_mode) ? -1 : std::exchange(file, -1);
  watched_.emplace(watch, Watched{path, what, kept});
}

void FileWatch::remove(const std::string& path) {
  check_process("watch over less");
  const auto found = std::find_if(watched_.begin(), watched_.end(), [&](const auto& entry) { return entry.second.path == path; });
  if (found == watched_.end()) throw Misuse(fmt::format("\"{}\" is not watched: remove() takes the path that add() was given", printable(path)));
  const int number = found->first;
  inotify_rm_watch(descriptor_.native(), number);
  forget(found);
  std::erase_if(changes_, [number](const auto& change) { return change.first == number; });
}

void FileWatch::forget(std::map<int, Watched>::iterator watched) {
  if (watched->second.file >= 0) ::close(watched->second.file);
  watched_.erase(watched);
}

FileWatch::Next FileWatch::next(const Until& until) {
  check_process("wait for a change");
  const auto its_name = [this] { return name(); };
  const auto [taken, why] = descriptor_.until_done(Side::read, {"a FileWatch", its_name, "wait for a change"}, internal::SchedulerCore::current().start(until), [this]() -> ssize_t {
    while (changes_.empty()) {
      if (watched_.empty()) return 0;
      if (!read_more()) return -1;
    }
    return 1;
  });
  if (taken < 0) return {why, name()};
  if (taken == 0) return {Why::closed, name()};
  FileChange change = std::move(changes_.front().second);
  changes_.pop_front();
  return change;
}

// False with errno when there is nothing.
bool FileWatch::read_more() {
  alignas(inotify_event) char events[4096];
  const ssize_t size = ::read(descriptor_.native(), events, sizeof events);
  if (size < 0) return false;
  for (const char* at = events; at < events + size;) {
    const auto* const event = reinterpret_cast<const inotify_event*>(at);
    take(event->wd, event->mask, event->cookie, event->len > 0 ? event->name : "");
    at += sizeof(inotify_event) + event->len;
  }
  return true;
}

void FileWatch::take(int watch, std::uint32_t mask, std::uint32_t cookie, const char* name) {
  if ((mask & IN_Q_OVERFLOW) != 0) {
    changes_.emplace_back(watch, FileChange{"", Changed::overflow});
    return;
  }
  const auto found = watched_.find(watch);
  if (found == watched_.end()) return;  // of one that has been removed
  const Watched& watched = found->second;
  FileChange change{watched.path, changes_of(mask) & (watched.what | Changed::unmounted), (mask & IN_ISDIR) != 0, cookie};
  if (*name != '\0') change.path += (change.path.ends_with('/') ? "" : "/") + std::string(name);
  const bool is_removed = (mask & IN_ATTRIB) != 0 && has_no_name(watched.file);
  if (is_removed) change.what = Changed::removed & watched.what;
  if (any(change.what)) changes_.emplace_back(watch, std::move(change));
  if (is_removed) inotify_rm_watch(descriptor_.native(), watch);  // nothing that anybody could name changes there any more
  if (is_removed || (mask & IN_IGNORED) != 0) forget(found);
}

}  // namespace cooperative
