#include "cooperative/http/internal/beneath.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cooperative/http/message.h"
#include "mothreads/internal/base/made_once.h"

namespace cooperative::inline v0::http::internal {

namespace {

constexpr int kFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;  // a FIFO must not make us wait
constexpr int kMaxLinks = 40;  // as the kernel's own

long openat2(int directory, const char* path, unsigned resolve = 0) {
  open_how how{};
  how.flags = static_cast<unsigned>(kFlags);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | resolve;
  return ::syscall(SYS_openat2, directory, path, &how, sizeof how);
}

// A sandbox that does not know the call may refuse it with any of these; an older kernel does not know a flag.
bool is_unknown_call(int error) { return error == ENOSYS || error == EPERM || error == EINVAL; }

class Owned {
 public:
  explicit Owned(int descriptor) : descriptor_(descriptor) {}
  Owned(Owned&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Owned& operator=(Owned&&) = delete;
  ~Owned() {
    const int error = errno;
    if (descriptor_ >= 0) ::close(descriptor_);
    errno = error;
  }
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

std::vector<std::string> components_backwards(std::string_view path) {
  std::vector<std::string> components;
  while (!path.empty()) {
    const std::size_t slash = path.rfind('/');
    const std::string_view last = slash == std::string_view::npos ? path : path.substr(slash + 1);
    if (!last.empty() && last != ".") components.emplace_back(last);
    path = slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
  }
  return components;
}

// Where a link leads, from its place.
std::optional<std::string> target_of(int link) {
  std::string target(PATH_MAX, '\0');
  const ssize_t size = ::readlinkat(link, "", target.data(), target.size());
  if (size <= 0) return std::nullopt;
  target.resize(static_cast<std::size_t>(size));
  return target;
}

// Holds every directory on the way down open, so that ".." is one that we came by, whatever is renamed meanwhile.
class Walk {
 public:
  Walk(int directory, std::string_view path) : root_(directory), left_(components_backwards(path)) {}

  int open() {
    while (!left_.empty()) {
      const std::string name = std::move(left_.back());
      left_.pop_back();
      if (left_.empty() && name != "..") {
        const int opened = ::openat(here(), name.c_str(), kFlags | O_NOFOLLOW);
        if (opened >= 0 || errno != ELOOP) return opened;
      }
      if (!step(name)) return -1;
    }
    return ::openat(here(), ".", kFlags);
  }

 private:
  int here() const { return way_.empty() ? root_ : way_.back().get(); }

  bool step(const std::string& name) {
    if (name == "..") {
      if (way_.empty()) return fail(EXDEV);
      way_.pop_back();
      return true;
    }
    Owned next(::openat(here(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (next.get() < 0) return false;
    struct stat status;
    if (::fstat(next.get(), &status) != 0) return false;
    if (S_ISLNK(status.st_mode)) return follow(next.get());
    if (S_ISDIR(status.st_mode)) {
      way_.push_back(std::move(next));
      return true;
    }
    return fail(ENOTDIR);
  }

  bool follow(int link) {
    if (++links_ > kMaxLinks) return fail(ELOOP);
    const std::optional<std::string> target = target_of(link);
    if (!target) return fail(ENOENT);
    if (target->starts_with('/')) return fail(EXDEV);
    for (std::string& component : components_backwards(*target)) left_.push_back(std::move(component));
    return true;
  }

  static bool fail(int error) {
    errno = error;
    return false;
  }

  const int root_;
  std::vector<std::string> left_;  // the next is the last
  std::vector<Owned> way_;
  int links_ = 0;
};

// 0 and 1 for whether the system has it.
constinit mothreads::internal::Known<int> knows_openat2{-1};

}  // namespace

bool has_openat2() {
  return knows_openat2.get([] {
    const long opened = openat2(AT_FDCWD, ".");
    if (opened >= 0) ::close(static_cast<int>(opened));
    return opened >= 0 || !is_unknown_call(errno) ? 1 : 0;
  }) == 1;
}

int open_beneath(int directory, std::string_view path, BeneathBy by) {
  if (path.find('\0') != std::string_view::npos) {
    errno = EINVAL;
    return -1;
  }
  if (by == BeneathBy::memory) {
    const long opened = openat2(directory, path.empty() ? "." : std::string(path).c_str(), RESOLVE_CACHED);
    if (opened < 0 && is_unknown_call(errno)) errno = EAGAIN;
    return static_cast<int>(opened);
  }
  if (by == BeneathBy::openat2 || (by == BeneathBy::whatever_there_is && has_openat2())) {
    const std::string name = path.empty() ? "." : std::string(path);
    // EAGAIN: something was renamed meanwhile, and the kernel could not tell what that means for a "..".
    for (int tries = 0; tries < 4; ++tries) {
      const long opened = openat2(directory, name.c_str());
      if (opened >= 0 || errno != EAGAIN) return static_cast<int>(opened);
    }
  }
  return Walk(directory, path).open();
}

bool resolve_target_path(std::string_view raw_path, std::string& relative) {
  relative.clear();
  std::string_view left = raw_path;
  bool is_directory = false;
  while (!left.empty()) {
    const std::size_t slash = left.find('/');
    const std::string_view raw = left.substr(0, slash);
    left = slash == std::string_view::npos ? std::string_view() : left.substr(slash + 1);
    is_directory = slash != std::string_view::npos;
    if (raw.empty()) continue;
    const std::optional<std::string> component = percent_decode(raw);
    if (!component || component->find_first_of(std::string_view("/\0", 2)) != std::string::npos) return false;
    if (*component == ".") {
      is_directory = true;
    } else if (*component == "..") {
      if (relative.empty()) return false;
      const std::size_t before = relative.rfind('/');
      relative.resize(before == std::string::npos ? 0 : before);
      is_directory = true;
    } else {
      if (!relative.empty()) relative.push_back('/');
      relative.append(*component);
    }
  }
  if (is_directory && !relative.empty()) relative.push_back('/');
  return true;
}

}  // namespace cooperative::http::internal
